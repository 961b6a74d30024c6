"""What a move depends on, and what forbids it."""
