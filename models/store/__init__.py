"""The only doors to the database."""
