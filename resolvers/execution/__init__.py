"""Selection → projection → answer. Knows no single field."""
