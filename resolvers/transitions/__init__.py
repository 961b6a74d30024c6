"""Moves of a task between statuses: their table, their preconditions, their guards and their effects."""
