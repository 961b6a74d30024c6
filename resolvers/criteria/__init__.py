"""Filters, orders, cursors and pages → queries."""
