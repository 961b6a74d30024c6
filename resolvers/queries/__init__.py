"""The fields of Query."""
