"""What a request means: selection, filters, paging, queries. Knows no HTTP."""
