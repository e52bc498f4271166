"""Rows of input files, read into examples."""
