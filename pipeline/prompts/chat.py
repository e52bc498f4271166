"""From prompts to a model's inputs: one user turn in its chat template, padded on the left."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from transformers.utils import logging

from savs.datasets.example import IMAGE_MARK, KEEP
from savs.datasets.media.sounds import Sound
from savs.datasets.media.videos import Decoded, Video, heard_in, videos_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.image_places import (
    AUDIO,
    IMAGE,
    JOINED,
    VIDEO,
    ImagePlaces,
    image_places,
    kinds_of,
    template_errors,
)
from savs.pipeline.prompts.pieces import (
    KINDS,
    MASK,
    OMNI_SECONDS,
    PIXELS,
    Pieces,
    images_in,
    shape_of,
)


def chat_inputs(
    processor: Any, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
) -> Any:
    """Return a batch of prompts as a processor makes it, generation prompt included.

    Images, videos and sounds stand where they are among the pieces, also if the chat template would
    move them. The model's own control tokens in a prompt's text are run on it as plain text.
    `image_options` go to the image processor, and are for prompts without videos. A tokenizer in
    place of a processor reads text alone.

    Raises
    ------
    ValueError
        The processor refuses a prompt or a medium, media cannot be put at their marks, or the
        model takes no such media.
    """
    _require_media(processor, prompts)
    turns = [[_turn(processor, pieces)] for pieces in prompts]
    return _apply(processor, turns, prompts, image_options)


def pictured_inputs(
    processor: Any, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
) -> Any:
    """Return `chat_inputs` of a model that takes no prompt without an image.

    Raises
    ------
    ValueError
        A prompt has none, or as there.
    """
    if not all(map(images_in, prompts)):  # what it thinks of videos, `chat_inputs` says
        raise ValueError("this model takes no prompt without an image")
    return chat_inputs(processor, prompts, image_options)


def conversation_inputs(
    processor: Any, demonstrations: Sequence[tuple[Pieces, str]], question: Pieces | None = None
) -> Any:
    """Return prompts with their answers as one conversation, and a last one without, if given.

    The parameters are those of `chat_inputs`.
    """
    prompts = [pieces for pieces, _ in demonstrations] + ([] if question is None else [question])
    _require_media(processor, prompts)
    turns: list[dict[str, Any]] = []
    for pieces, label in demonstrations:
        turns += [_turn(processor, pieces), _turn(processor, (label,), role="assistant")]
    if question is not None:
        turns.append(_turn(processor, question))
    if any(JOINED in one for one in turns):
        turns = [one | {JOINED: True} for one in turns]
    return _apply(processor, [turns], prompts, answer=question is not None)


def _apply(
    processor: Any,
    turns: Sequence[Sequence[Mapping[str, Any]]],
    prompts: Sequence[Pieces],
    image_options: Mapping[str, Any] | None = None,
    *,
    answer: bool = True,
) -> Any:
    """Return conversations as a processor makes them; with `answer` an answer is to follow."""
    if not hasattr(processor, "tokenizer"):
        with template_errors():
            return processor.apply_chat_template(
                turns,
                add_generation_prompt=answer,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                padding=True,
                tokenizer_kwargs={"padding_side": "left"},
                sanitize_control_tokens=_mention_control_tokens(processor, prompts),
            )
    sounds = [sound for pieces in prompts for sound in heard_in(pieces)]
    padding = {"padding": True, "padding_side": "left"}
    # A feature extractor would take the padding for its own, and some then fail.
    options: dict[str, Any] = {"text_kwargs": padding} if sounds else padding
    if sounds and type(processor).__name__ in UNPADDED:
        longest = max(len(sound.samples) for sound in sounds)
        options["audio_kwargs"] = {"max_length": longest + MARGIN_SAMPLES}
    options |= image_options or {}
    if KINDS in getattr(processor, "model_input_names", ()):
        options[f"return_{KINDS}"] = True  # not every processor does that by itself
    videos = [video for pieces in prompts for video in videos_of(pieces)]
    if videos:
        options |= video_options(videos)
    is_heard = any(video.sound is not None for video in videos)
    mentioned = _mention_control_tokens(processor.tokenizer, prompts)
    places = image_places(processor)
    is_joined = places is not None and any(JOINED in conversation[0] for conversation in turns)
    template = places.joining("".join(map(kinds_of, prompts))) if places and is_joined else None
    templates = [template]
    if not videos:  # else the template may be one that the processor has for videos alone
        # where the tokenizer begins each text itself, the template shall do it
        templates.append("{{ bos_token }}" + str(template or processor.chat_template))
    refusal: Exception | None = None
    for template in templates:
        try:
            with template_errors():
                if is_heard:
                    inputs = _with_video_sound(
                        processor, turns, prompts, template, options, answer=answer
                    )
                else:
                    inputs = processor.apply_chat_template(
                        turns,
                        chat_template=template,
                        add_generation_prompt=answer,
                        tokenize=True,
                        return_dict=True,
                        return_tensors="pt",
                        sanitize_control_tokens=mentioned,
                        processor_kwargs=options,
                    )
        except NotImplementedError as error:
            refusal = error
            continue
        set_seconds(inputs, processor, videos)
        inputs.pop("labels", None)  # PaliGemma's processor makes them, and a loss would be computed
        return pad_left(inputs)
    raise ValueError(
        "the prompt's text holds one of the model's control tokens, which this processor cannot"
        f" run on it as plain text ({refusal})"
    ) from refusal


def _with_video_sound(
    processor: Any,
    turns: Sequence[Sequence[Mapping[str, Any]]],
    prompts: Sequence[Pieces],
    template: str | None,
    options: Mapping[str, Any],
    *,
    answer: bool,
) -> Any:
    """Return conversations whose videos have their sounds, as a processor makes them.

    Its `apply_chat_template` would read the sound from a file by itself, so its two steps are taken
    here. It spreads the sound over the frames by their rate, and takes one rate for all of them.
    """
    videos = [video for pieces in prompts for video in videos_of(pieces)]
    rates = {len(video.frames) / video.duration_s for video in videos}
    if len(rates) > 1:
        raise ValueError(
            "its videos have other rates of frames, and the processor spreads their sounds by one"
        )
    if _mention_control_tokens(processor.tokenizer, prompts):
        raise ValueError("the prompt's text holds one of the model's control tokens")
    text = processor.apply_chat_template(
        turns, chat_template=template, add_generation_prompt=answer, tokenize=False
    )

    whole = [
        [piece for turn in conversation for piece in turn["content"]] for conversation in turns
    ]
    images, frames = (
        [[piece[kind] for piece in pieces if piece["type"] == kind] for pieces in whole]
        for kind in ("image", "video")
    )
    heard = [piece for p in prompts for piece in p if isinstance(piece, Video | Sound)]
    numbers = iter(range(len(videos)))
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # its arithmetic with tensors, in numpy 2
        inputs = processor(
            text=text,
            images=images if any(images) else None,
            videos=frames if any(frames) else None,
            audio=[sound.samples for pieces in prompts for sound in heard_in(pieces)],
            audio_from_video_indices=[
                next(numbers) if isinstance(p, Video) else None for p in heard
            ],
            load_audio_from_video=True,
            return_tensors="pt",
            fps=rates.pop(),
            **options,
        )
    inputs["use_audio_in_video"] = True
    return inputs


def reads_video_sound(processor: Any) -> bool:
    """Return whether a processor can put the sound of a video between its frames."""
    return hasattr(processor, "replace_video_with_audio_token")


def require_plain_mark(name: str, processor: Any, placeholders: str) -> None:
    """Check that the mark of an image can stay in a prompt's text, where `keep` leaves it there.

    Raises
    ------
    ModelError
        To this model the mark is a token of its own.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    if placeholders == KEEP and IMAGE_MARK in _control_tokens(tokenizer):
        raise ModelError(
            f"`placeholders` keep would leave {IMAGE_MARK} in the text, which is a token of its own"
            f" to {name} and no plain text; drop the option: each image then stands at its mark"
        )


def _require_media(processor: Any, prompts: Sequence[Pieces]) -> None:
    """Raise ValueError if a model does not read the media of prompts, or not to their end."""
    has_images = getattr(processor, "image_processor", None) is not None  # some leave them out
    if not has_images and any(map(images_in, prompts)):
        raise ValueError("this model reads no images, and the prompt has one")
    sounds = [sound for pieces in prompts for sound in heard_in(pieces)]
    rate = sound_rate(processor) if sounds else None
    if sounds and rate is None:
        raise ValueError("this model reads no sounds, and the prompt has one")
    for sound in sounds:
        _sound_limit(processor, rate).require(sound)
    if not any(map(videos_of, prompts)):
        return
    if not takes_videos(processor):
        raise ValueError(f"this model takes no video as a video; {FRAMES_INSTEAD}")
    names = getattr(processor.video_processor, "model_input_names", ())
    # where pixels of videos have the name of those of images, one of the two would be lost
    if PIXELS in names and any(0 in shape_of(pieces) for pieces in prompts):
        raise ValueError(f"this model takes no image together with a video; {FRAMES_INSTEAD}")


def _turn(processor: Any, pieces: Pieces, role: str = "user") -> dict[str, Any]:
    """Return a prompt as a turn; it has the key `JOINED` where the template would move images."""
    if not hasattr(processor, "tokenizer"):
        return {"role": role, "content": "".join(map(str, pieces))}
    places = image_places(processor)
    is_joined = places is not None and places.are_moved(kinds_of(pieces))
    if places is not None and not is_joined:
        pieces = _without_repeated_space(places, pieces)
    turn: dict[str, Any] = {"role": role, "content": [_content(piece) for piece in pieces]}
    return turn | ({JOINED: True} if is_joined else {})


def _without_repeated_space(places: ImagePlaces, pieces: Pieces) -> Pieces:
    r"""Return a prompt whose texts lack the white space that the template writes in front of them.

    A question `<image>\nWhat is this?` has the line break that LLaVA's template has, too.
    """
    kinds = kinds_of(pieces)
    return tuple(
        piece.removeprefix(places.space_after(before))
        if isinstance(piece, str) and before in (IMAGE, VIDEO, AUDIO)
        else piece
        for before, piece in zip(" " + kinds, pieces, strict=False)
    )


def _content(piece: str | Decoded) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    if isinstance(piece, Video):
        return {"type": "video", "video": [*piece.frames]}
    if isinstance(piece, Sound):
        return {"type": "audio", "audio": piece.samples}
    return {"type": "image", "image": piece}


def _mention_control_tokens(tokenizer: Any, prompts: Sequence[Pieces]) -> bool:
    tokens = _control_tokens(tokenizer)
    known = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
    return any(
        known.search(piece) for pieces in prompts for piece in pieces if isinstance(piece, str)
    )


def _control_tokens(tokenizer: Any) -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values()]


TICKS = 1_000_000
"""A processor computes times as frame number / rate. Numbers of microseconds are true for any
rate, also one that changes."""
FRAMES_INSTEAD = "`video` frames gives its frames to the model as images"
NOT_FOR_CODE = f"your to_inputs takes text and images, and no video; {FRAMES_INSTEAD}"
NO_SOUND_FOR_CODE = "your to_inputs takes text and images, and no sound"


def video_options(videos: Sequence[Video]) -> dict[str, Any]:
    """Return what a processor is given the videos of a batch, in the order of its prompts."""
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


STEP_S = 60
"""Durations are tried in whole numbers of these where they are longer, else in powers of two."""
END_S = 0.1
"""How much at the end of a sound is changed: more than a window of any spectrogram."""


class SoundLimit:
    """Tries on noise how long a sound may be; what it found for a duration holds for others."""

    def __init__(self, processor: Any, rate: int) -> None:
        self._processor, self._rate = processor, rate
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

    def _inputs_of(self, samples: Array) -> Any:
        pieces = (Sound(samples, self._rate), "What is heard?")
        return _apply(self._processor, [[_turn(self._processor, pieces)]], [pieces])


_sound_limit = lru_cache(maxsize=4)(SoundLimit)
UNPADDED = ("Qwen2_5OmniProcessor",)
"""Processors that pad each sound to 300 s, which their models mask: a little more than the sound
gives the same bits at a sixtieth of the work."""
MARGIN_SAMPLES = 400
"""A window of the spectrogram."""


def sound_rate(processor: Any) -> int | None:
    """Return how many samples a second a processor takes of sounds; None if it takes none."""
    places = image_places(processor)
    if places is None or places.mark_of(AUDIO) is None:
        return None
    return getattr(getattr(processor, "feature_extractor", None), "sampling_rate", None)


def takes_videos(processor: Any) -> bool:
    """Return whether a processor takes videos, and its chat template gives them a place."""
    if getattr(processor, "video_processor", None) is None:
        return False
    places = image_places(processor)
    return places is not None and places.mark_of(VIDEO) is not None


QUERY = "qformer_"
"""Inputs of a Q-Former that reads the prompt, too: its positions count from the first token."""


def pad_left(inputs: Any) -> Any:
    """Return a batch with all padding on the left, in the place of the given one.

    For processors that put an image in front of a padded text: BLIP-2, InstructBLIP and Kosmos-2
    pad the text by itself, so padding stands between the image and the text, or after both.
    What a Q-Former reads is padded on the right. Only inputs of the shape of their mask,
    `(batch, tokens)`, are changed.
    """
    for prefix, side in (("", 1), (QUERY, -1)):
        mask = inputs.get(prefix + MASK)
        if torch.is_tensor(mask):
            order = (side * mask.long()).argsort(dim=1, stable=True)
            for name, value in inputs.items():
                is_own = name.startswith(QUERY) == bool(prefix)
                if is_own and torch.is_tensor(value) and value.shape == mask.shape:
                    inputs[name] = value.gather(1, order)
    return inputs
