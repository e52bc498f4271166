"""Videos as videos: what processors that take them are told, and which models do.

A processor gets the frames that were decoded here, and when each is shown. It samples none.
"""

from collections.abc import Sequence
from typing import Any

import torch

from savs.datasets.media.videos import Video
from savs.pipeline.extraction.model.chat_template import image_places
from savs.pipeline.extraction.model.input_types import OMNI_SECONDS, PIXELS

TICKS = 1_000_000
"""A processor computes times as frame number / rate. Numbers of microseconds are true for any
rate, also one that changes."""
FRAMES_INSTEAD = "--video frames puts its frames to the model as images"
NOT_FOR_CODE = f"your to_inputs takes text and images, and no video; {FRAMES_INSTEAD}"


def video_options(videos: Sequence[Video]) -> dict[str, Any]:
    """Return what a processor is told of the videos of a batch, in the order of its prompts."""
    return {
        "do_sample_frames": False,
        "video_metadata": [
            {
                "total_num_frames": round(video.duration_s * TICKS),
                "fps": TICKS,
                "width": video.frames[0].width,
                "height": video.frames[0].height,
                "duration": video.duration_s,
                "frames_indices": [round(time * TICKS) for time in video.times_s],
            }
            for video in videos
        ],
    }


def set_seconds(inputs: Any, processor: Any, videos: Sequence[Video]) -> None:
    """Set the seconds between merged frames where a processor does not compute them.

    The processors of the Omni families read no `video_metadata`, and give each video two frames a
    second, or one. They take one rate for a whole batch, so it is set here: merged frames times
    duration / frames, as the processor of Qwen2.5-VL computes it.
    """
    if OMNI_SECONDS in inputs:
        merged = processor.video_processor.temporal_patch_size
        inputs[OMNI_SECONDS] = torch.tensor(
            [merged * video.duration_s / len(video.frames) for video in videos]
        )


def takes_videos(processor: Any) -> bool:
    """Return whether a processor takes videos, and its chat template gives them a place."""
    if getattr(processor, "video_processor", None) is None:
        return False
    places = image_places(processor)
    return places is not None and places.video_mark is not None


def mixes_videos(processor: Any) -> bool:
    """Return whether a processor gives pixels of videos the name of those of images.

    One of the two would be lost where a batch has both.
    """
    names = getattr(getattr(processor, "video_processor", None), "model_input_names", ())
    return PIXELS in names
