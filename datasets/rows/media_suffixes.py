"""Suffixes of images and videos, in lower case; content decides what a medium is."""

IMAGES = frozenset(
    (
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
"""What cannot be decoded is skipped with its reason later."""
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
