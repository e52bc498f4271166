"""A store that is open for reading."""
