"""Prompts of one shape may be a batch."""

import numpy as np
from PIL import Image

from savs.datasets.media.sounds import Sound
from savs.datasets.media.videos import Video
from savs.pipeline.prompts.pieces import shape_of

FRAMES = (Image.new("RGB", (8, 8)),) * 4


def test_videos_with_sounds_have_one_shape_if_they_last_equally_long():
    """A processor spreads the sounds of a batch by one rate of frames."""
    sound = Sound(np.zeros(16, np.float32), 16_000)
    heard = [Video(FRAMES, (0.0,) * 4, duration, sound) for duration in (1.2, 1.2 + 1e-9, 1.6)]
    first, same, longer = (shape_of((video, "Q")) for video in heard)
    assert first == same != longer
    silent = [Video(FRAMES, (0.0,) * 4, duration) for duration in (1.2, 1.6)]
    assert {shape_of((video, "Q")) for video in silent} == {(4,)}
