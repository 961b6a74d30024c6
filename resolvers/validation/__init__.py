"""The checks of a document before its execution."""
