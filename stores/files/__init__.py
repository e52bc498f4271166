"""Files on disk or at a URL."""
