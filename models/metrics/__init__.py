"""Reported metrics: blocks of points, and the statistics of a task."""
