"""What the API says: HOCON → spec → Strawberry. Knows neither MongoDB nor HTTP."""
