"""Sounds of prompts, and how long ones a processor reads to their end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from savs.datasets.media_kinds.decoders.sounds import Sound
from savs.datasets.media_kinds.decoders.videos import all_sounds_of
from savs.datasets.media_kinds.decoding import DEFAULT_RATE
from savs.datasets.media_kinds.medium import Outline
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.foundation.arrays import Array
from savs.pipeline.prompts.media.inputs import Counter, Encode, KindInputs, Pieces, Rules

TOKENS_A_SECOND = 25
"""Where a processor does not tell: most models have 12.5 or 25."""
UNPADDED = ("Qwen2_5OmniProcessor",)
"""Processors that pad each sound to 300 s, which their models mask: a little more than the sound
gives the same bits at a sixtieth of the work."""
MARGIN_SAMPLES = 400
"""A window of the spectrogram."""


class SoundInputs(KindInputs):
    """Sounds, those of videos included."""

    kind, letter, word, part = SOUNDS, "A", "audio", "feature_extractor"
    probes = ("TA", "TAT")  # some templates take one alone
    settings = "audio_settings"
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

    def tokens(self, counter: Counter, outline: Outline) -> int:
        """Return the tokens of a sound."""
        return sound_tokens(counter, outline.seconds or 0)

    def said(self, media: Sequence[Sound]) -> str:
        """Return how long the sounds last."""
        return f"sounds of {[round(sound.seconds, 1) for sound in media]} s"

    def decoding(self, processor: Any, rules: Rules) -> Rules:
        """Return rules with the rate of the processor."""
        return replace(rules, sound_rate=self.reader(processor))

    def facts(self, processor: Any) -> dict[str, Any]:
        """Return the rate of the sounds that a model reads."""
        return {"audio_rate": self.reader(processor)}

    def shape(self, piece: Sound) -> Sequence[int]:
        """Return -1: sounds of any lengths may be a batch."""
        del piece
        return [-1]

    def trials(self, processor: Any) -> Sequence[tuple[Sound, str]]:
        """Return sounds of other lengths each: noise that swells."""
        rng, rate = np.random.default_rng(0), self.reader(processor) or DEFAULT_RATE
        sounds: list[tuple[Sound, str]] = []
        for number, seconds in enumerate((1.0, 1.3, 1.9, 1.6)):
            noise = rng.standard_normal(round(seconds * rate), np.float32) / 8
            swelling = noise * np.linspace(0, 1, len(noise), dtype=np.float32)
            sounds.append((Sound(swelling, rate), f"What do you hear in recording {number}?"))
        return sounds

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


SOUND_INPUTS = SoundInputs()
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


def sound_tokens(counter: Counter, seconds: float) -> int:
    """Return the tokens of a sound as long as this; 0 without one."""
    rate = SOUND_INPUTS.reader(counter.processor) or DEFAULT_RATE
    count = counter.of_processor("num_audio_tokens", "audio_lengths", round(seconds * rate))
    return round(seconds * TOKENS_A_SECOND) if count is None else count


_sound_limit = lru_cache(maxsize=4)(SoundLimit)
