"""What is stored: documents, layout, database. Knows no GraphQL."""
