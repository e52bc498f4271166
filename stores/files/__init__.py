"""Files on disk or behind an address."""
