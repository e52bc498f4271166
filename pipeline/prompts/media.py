"""Media of prompts, a class a kind: what a processor is given of them, and what it refuses.

A new kind is a class here and an item of `KINDS_OF_MEDIA`; `datasets/media_kinds/` decodes it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from savs.datasets.media_kinds.sounds import Sound
from savs.datasets.media_kinds.videos import Decoded, Video, all_sounds_of, images_of
from savs.foundation.arrays import Array
from savs.pipeline.prompts.input_names import OMNI_SECONDS, PIXELS

Pieces = tuple[str | Decoded, ...]
"""A prompt as text, images, videos and sounds in reading order."""
Encode = Callable[[Any, Pieces], Mapping[str, Any]]
"""Processor and a prompt -> what the processor makes of it; nothing is checked."""


class Kind(ABC):
    """One kind of media; what is not abstract is as for most kinds."""

    letter: ClassVar[str]
    """Stands for it where a prompt is a string of the kinds of its pieces, such as `ITI`."""
    word: ClassVar[str]
    """Its type in a conversation."""
    noun: ClassVar[str]
    """What messages call one."""
    of: ClassVar[type]
    """The class of a decoded one."""
    part: ClassVar[str]
    """Attribute of a processor that has what reads it."""
    needs_place: ClassVar[bool] = True
    """Whether the chat template must have a place for it."""
    refusal: ClassVar[str]
    """What is said of a prompt that has one, for a model that takes none."""
    refused: ClassVar[str]
    """What is said of such a model before a run, after its name."""
    instead: ClassVar[str]
    """What to do then."""

    @property
    def not_for_code(self) -> str:
        """What is said where the user's code makes the inputs, which takes text and images."""
        return f"your to_inputs takes text and images, and no {self.noun}"

    def among(self, pieces: Pieces) -> Sequence[Any]:
        """Return those that a processor is given of a prompt, in reading order."""
        return [piece for piece in pieces if isinstance(piece, self.of)]

    def reader(self, processor: Any) -> Any:
        """Return what reads it in a processor; None if nothing does."""
        return getattr(processor, self.part, None)

    @abstractmethod
    def value(self, piece: Any) -> Any:
        """Return one as a conversation has it."""

    @abstractmethod
    def shape(self, piece: Any) -> Sequence[int]:
        """Return what must be equal for prompts to be a batch, see `shape_of`."""

    def require(self, processor: Any, prompts: Sequence[Pieces], encode: Encode) -> None:  # noqa: B027
        """Raise ValueError if a processor would not read the whole of some."""

    def options(self, processor: Any, media: Sequence[Any]) -> Mapping[str, Any]:
        """Return what a processor is given for those of a batch, in the order of its prompts."""
        del processor, media
        return {}

    def complete(self, inputs: Any, processor: Any, media: Sequence[Any]) -> None:  # noqa: B027
        """Set inputs of a batch that its processor does not compute."""

    def map_images(self, piece: Any, change: Callable[[Image.Image], Image.Image]) -> Any:
        """Return one whose images are changed."""
        del change
        return piece

    def inverted(self, piece: Any) -> Any:
        """Return another one of the same size."""
        return self.map_images(piece, lambda image: image.point([255 - v for v in range(256)] * 3))


class Images(Kind):
    """Images, those of videos that are given frame by frame included."""

    letter, word, noun, of = "I", "image", "image", Image.Image
    part, needs_place = "image_processor", False  # templates may put images in front
    refusal = "this model reads no images, and the prompt has one"
    refused = "reads no images, and prompts have some"
    instead = "run a model that does (savs models lists them)"

    def among(self, pieces: Pieces) -> Sequence[Image.Image]:
        """Return the images of a prompt, the frames of its videos included."""
        return images_of(pieces)

    def value(self, piece: Image.Image) -> Image.Image:
        """Return the image."""
        return piece

    def shape(self, piece: Image.Image) -> Sequence[int]:
        """Return 0: images of any sizes may be a batch."""
        del piece
        return [0]

    def map_images(self, piece: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Any:
        """Return the changed image."""
        return change(piece)


TICKS = 1_000_000
"""A processor computes times as frame number / rate. Numbers of microseconds are true for any
rate, also one that changes."""
FRAMES_INSTEAD = "`video` frames gives its frames to the model as images"


class Videos(Kind):
    """Videos that a model takes as such."""

    letter, word, noun, of, part = "V", "video", "video", Video, "video_processor"
    refusal = f"this model takes no video as a video; {FRAMES_INSTEAD}"
    refused, instead = "takes no video as a video", FRAMES_INSTEAD

    def value(self, piece: Video) -> list[Image.Image]:
        """Return the frames."""
        return [*piece.frames]

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
        if PIXELS in names and any(kind_of(piece) is IMAGES for piece in media):
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

    def map_images(self, piece: Video, change: Callable[[Image.Image], Image.Image]) -> Video:
        """Return a video whose frames are changed."""
        return replace(piece, frames=tuple(map(change, piece.frames)))


UNPADDED = ("Qwen2_5OmniProcessor",)
"""Processors that pad each sound to 300 s, which their models mask: a little more than the sound
gives the same bits at a sixtieth of the work."""
MARGIN_SAMPLES = 400
"""A window of the spectrogram."""


class Sounds(Kind):
    """Sounds, those of videos included."""

    letter, word, noun, of, part = "A", "audio", "sound", Sound, "feature_extractor"
    refusal = "this model reads no sounds, and the prompt has one"
    refused = "reads no sounds, and prompts have some"
    instead = "run a model that does (savs models lists them), or leave the column `audio` out"

    def among(self, pieces: Pieces) -> Sequence[Sound]:
        """Return the sounds of a prompt, those of its videos included."""
        return all_sounds_of(pieces)

    def reader(self, processor: Any) -> int | None:
        """Return how many samples a second a processor takes; None if it takes none."""
        return getattr(super().reader(processor), "sampling_rate", None)

    def value(self, piece: Sound) -> Array:
        """Return the samples."""
        return piece.samples

    def shape(self, piece: Sound) -> Sequence[int]:
        """Return -1: sounds of any lengths may be a batch."""
        del piece
        return [-1]

    def require(self, processor: Any, prompts: Sequence[Pieces], encode: Encode) -> None:
        """Refuse a sound whose end the processor would leave out."""
        limit = _sound_limit(processor, self.reader(processor), encode)
        for sound in (sound for pieces in prompts for sound in self.among(pieces)):
            limit.require(sound)

    def options(self, processor: Any, media: Sequence[Sound]) -> Mapping[str, Any]:
        """Return how long sounds are padded at most."""
        if not media or type(processor).__name__ not in UNPADDED:
            return {}
        longest = max(len(sound.samples) for sound in media)
        return {"audio_kwargs": {"max_length": longest + MARGIN_SAMPLES}}

    def inverted(self, piece: Sound) -> Sound:
        """Return the sound played backwards."""
        return replace(piece, samples=piece.samples[::-1].copy())


IMAGES, SOUNDS, VIDEOS = Images(), Sounds(), Videos()
KINDS_OF_MEDIA: tuple[Kind, ...] = (IMAGES, SOUNDS, VIDEOS)
"""All kinds, in the order in which prompts are refused for them."""


def kind_of(piece: Decoded) -> Kind:
    """Return the kind of a medium that was decoded."""
    return next((kind for kind in KINDS_OF_MEDIA if isinstance(piece, kind.of)), IMAGES)


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has, the frames of its videos included."""
    return len(images_of(pieces))


def is_plain(pieces: Pieces) -> bool:
    """Return whether a prompt has no media but images."""
    return all(isinstance(piece, str) or kind_of(piece) is IMAGES for piece in pieces)


def shape_of(pieces: Pieces) -> tuple[int, ...]:
    """Return the shapes of a prompt's media: 0 for each image, the number of frames of each video.

    Prompts of one shape may be a batch: some models are wrong, and some processors fail, where the
    numbers of images, of sounds or of frames differ within one.
    """
    media = (piece for piece in pieces if not isinstance(piece, str))
    return tuple(chain.from_iterable(kind_of(piece).shape(piece) for piece in media))


def map_images(pieces: Pieces, change: Callable[[Image.Image], Image.Image]) -> Pieces:
    """Return a prompt whose images, and frames of videos, are changed, in reading order."""
    return tuple(
        piece if isinstance(piece, str) else kind_of(piece).map_images(piece, change)
        for piece in pieces
    )


def inverted(pieces: Pieces) -> Pieces:
    """Return a prompt with other media: colours are inverted, and sounds played backwards."""
    return tuple(
        piece if isinstance(piece, str) else kind_of(piece).inverted(piece) for piece in pieces
    )


STEP_S = 60
"""Durations are tried in whole numbers of these where they are longer, else in powers of two."""
END_S = 0.1
"""How much at the end of a sound is changed: more than a window of any spectrogram."""


class SoundLimit:
    """Tries on noise how long a sound may be; what it found for a duration holds for others."""

    def __init__(self, processor: Any, rate: int, encode: Encode) -> None:
        self._processor, self._rate, self._encode = processor, rate, encode
        self._read_s, self._cut_s = 0.0, math.inf

    def require(self, sound: Sound) -> None:
        """Raise ValueError if the processor would leave out the end of a sound."""
        seconds = sound.seconds
        if seconds <= self._read_s:
            return
        upper = 2.0 ** math.ceil(math.log2(seconds))
        self._try(upper if upper <= STEP_S else STEP_S * math.ceil(seconds / STEP_S))
        self._try(seconds)
        if seconds <= self._read_s:
            return
        low, high = math.floor(self._read_s), math.ceil(self._cut_s)
        while high - low > 1:  # for the message, once
            self._try(middle := (low + high) // 2)
            low, high = (middle, high) if middle <= self._read_s else (low, middle)
        raise ValueError(
            f"the sound lasts {seconds:.1f} s, and this model reads the first {low} s alone: cut"
            f" sounds there with `audio_max_seconds` {low}, or split them"
        )

    def _try(self, seconds: float) -> None:
        if not self._read_s < seconds < self._cut_s:
            return
        if self._reads_end(seconds):
            self._read_s = seconds
        else:
            self._cut_s = seconds

    def _reads_end(self, seconds: float) -> bool:
        count = round(seconds * self._rate)
        samples = np.random.default_rng(0).standard_normal(count, np.float32) / 8
        other = samples.copy()
        other[-round(END_S * self._rate) :] *= -0.5
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # that a trial was cut is no news
        try:
            first, second = map(self._inputs_of, (samples, other))
        except Exception:  # it may refuse a long sound, or fail
            return False
        finally:
            logging.set_verbosity(level)
        return any(
            torch.is_tensor(value) and not torch.equal(value, second[name])
            for name, value in first.items()
        )

    def _inputs_of(self, samples: Array) -> Mapping[str, Any]:
        return self._encode(self._processor, (Sound(samples, self._rate), "What is heard?"))


_sound_limit = lru_cache(maxsize=4)(SoundLimit)
