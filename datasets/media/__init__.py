"""Media of a run: found and read."""
