"""Fields that are loaded for a page of documents at a time."""
