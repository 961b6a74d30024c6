"""Mutations, a module a theme; `change` is what they share."""
