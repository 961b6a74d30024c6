"""GraphiQL: the page, its examples, and what serves them."""
