"""How a model gets a video: as a video, or its frames as images."""

NATIVE, FRAMES = "native", "frames"
VIDEO_INPUTS = (NATIVE, FRAMES)
"""The first is the default, as in the public reference of arXiv 2412.00142."""
