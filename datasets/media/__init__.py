"""Images and videos: found, read, decoded."""
