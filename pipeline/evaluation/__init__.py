"""Predictions and metrics with intervals; sweeps, comparisons, suggestions, tables of a store."""
