"""Signals, progress, output files, and numbers as text."""
