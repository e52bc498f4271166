"""Simulations of the intervals and tests of docs/statistics.md."""
