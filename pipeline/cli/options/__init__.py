"""Command-line options, each written once for all commands that take it."""
