"""Stored data: documents, layout, database. Knows no GraphQL."""
