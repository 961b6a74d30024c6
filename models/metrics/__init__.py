"""Reported metrics: blocks of points, and what a task keeps of them."""
