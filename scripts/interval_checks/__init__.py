"""Simulations of the intervals and tests of docs/reference/statistics.md."""
