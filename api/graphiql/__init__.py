"""GraphiQL: the page, its examples, and the routes that serve them."""
