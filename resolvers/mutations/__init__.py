"""Mutations, a module for each theme; they share the call of transaction.py."""
