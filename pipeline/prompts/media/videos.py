"""Videos of prompts, and what processors do not compute of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from savs.datasets.media_kinds.decoders.videos import Video
from savs.datasets.media_kinds.decoding import FRAMES
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import Outline
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.prompts.input_names import OMNI_SECONDS, PIXELS
from savs.pipeline.prompts.media.inputs import Counter, Encode, KindInputs, Pieces
from savs.pipeline.prompts.media.sounds import sound_tokens

TICKS = 1_000_000
"""A processor computes times as frame number / rate. Numbers of microseconds are true for any
rate, also one that changes."""
FRAMES_INSTEAD = "`video` frames gives its frames to the model as images"


class VideoInputs(KindInputs):
    """Videos that a model takes as such."""

    kind, letter, word, part = VIDEOS, "V", "video", "video_processor"
    settings = "video_settings"
    refusal = f"this model takes no video as a video; {FRAMES_INSTEAD}"
    refused, instead = "takes no video as a video", FRAMES_INSTEAD

    def value(self, piece: Video) -> list[Image.Image]:
        """Return the frames."""
        return [*piece.frames]

    def tokens(self, counter: Counter, outline: Outline) -> int:
        """Return the tokens of a video, and of its sound where the model gets that, too."""
        heard = 0 if outline.seconds is None else sound_tokens(counter, outline.seconds)
        (width, height), frames = outline.sizes[0], len(outline.sizes)
        count = counter.of_processor("num_video_tokens", "video_sizes", (frames, height, width))
        return heard + (frames * counter.image(width, height) if count is None else count)

    def said(self, media: Sequence[Video]) -> str:
        """Return nothing: their frames are among the images."""
        del media
        return ""

    def shape(self, piece: Video) -> Sequence[int]:
        """Return the number of frames, and of one with its sound its microseconds.

        Processors take one rate of frames for a whole batch.
        """
        heard = [] if piece.sound is None else [round(piece.duration_s * 1e6)]
        return [len(piece.frames), *heard]

    def require(self, processor: Any, prompts: Sequence[Pieces], encode: Encode) -> None:
        """Refuse images with videos where the pixels of both have one name: some would be lost."""
        del encode
        names = getattr(processor.video_processor, "model_input_names", ())
        media = (piece for pieces in prompts for piece in pieces if not isinstance(piece, str))
        if PIXELS in names and any(isinstance(piece, IMAGES.of) for piece in media):
            raise ValueError(f"this model takes no image together with a video; {FRAMES_INSTEAD}")

    def options(self, processor: Any, media: Sequence[Video]) -> Mapping[str, Any]:
        """Return when the frames of each are shown."""
        del processor
        if not media:
            return {}
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
                for video in media
            ],
        }

    def complete(self, inputs: Any, processor: Any, media: Sequence[Video]) -> None:
        """Set the seconds between merged frames where a processor does not compute them.

        The processors of the Omni families read no `video_metadata`, and give each video two frames
        a second, or one. They take one rate for a whole batch, so it is set here: merged frames
        times duration / frames, as the processor of Qwen2.5-VL computes it.
        """
        if OMNI_SECONDS in inputs:
            merged = processor.video_processor.temporal_patch_size
            seconds = [merged * video.duration_s / len(video.frames) for video in media]
            inputs[OMNI_SECONDS] = torch.tensor(seconds)

    def is_recorded(self, decoding: Mapping[str, Any]) -> bool:
        """Return whether videos go in as videos."""
        return decoding.get("video", FRAMES) != FRAMES

    def map_images(self, piece: Video, change: Callable[[Image.Image], Image.Image]) -> Video:
        """Return a video whose frames are changed."""
        return replace(piece, frames=tuple(map(change, piece.frames)))
