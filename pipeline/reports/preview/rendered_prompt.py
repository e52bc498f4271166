"""A prompt as the model reads it: the text after the chat template, and its image tokens."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from savs.pipeline.encoders.image import image_tokens
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.prompts.media.catalogue import INPUTS
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import kinds_of, media_places

IMAGE_IDS = tuple(
    f"{inputs.word}_token_{name}" for inputs in INPUTS.values() for name in ("id", "index")
)
"""Names of the tokens of images, videos and sounds in configurations and processors."""


TEXT, TOKEN, IMAGE = "text", "token", "image"
"""Kinds of a run of tokens: plain text, a control token, image tokens."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring tokens of one kind."""

    kind: str
    """`text`, `token` or `image`."""
    text: str
    """Their text; for image tokens, the text of one."""
    count: int
    """Number of tokens."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A prompt's final text, as the model reads it."""

    runs: tuple[Run, ...]
    is_joined: bool = False
    """Whether the chat template alone would move its images, see `MediaPlaces`."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(run.count for run in self.runs)

    @property
    def image_tokens(self) -> int:
        """Number of image tokens."""
        return sum(run.count for run in self.runs if run.kind == IMAGE)


@dataclass(frozen=True, slots=True)
class Wording:
    """Renders prompts as a model reads them."""

    encoder: PromptEncoder

    def __call__(self, pieces: Pieces) -> Worded:
        """Return a prompt's final text; ValueError if the model does not take it."""
        encoder = self.encoder
        if not encoder.reads_prompts:
            encoder.encode([encoder.pieces_read(pieces)])  # which refuses what it cannot read
            return Worded((Run(IMAGE, "image", image_tokens(encoder.config)),))
        ids = encoder.encode([pieces])["input_ids"][0].tolist()
        places = media_places(encoder.processor)
        is_joined = places is not None and places.are_moved(kinds_of(pieces))
        return Worded(_runs(encoder.tokenizer, ids, _image_ids(encoder)), is_joined)


def load_wording(options: ModelOptions) -> Wording:
    """Return what renders a prompt as a model reads it; no weights are loaded.

    ModelError if it is not found, has no chat template, or not the limits that are asked for.
    """
    return Wording(load_encoder(options))


def _image_ids(encoder: PromptEncoder) -> set[int]:
    ids = (
        getattr(owner, name, None)
        for owner in (encoder.processor, encoder.config)
        for name in IMAGE_IDS
    )
    return {int(value) for value in ids if value is not None}


def _runs(tokenizer: Any, ids: list[int], images: set[int]) -> tuple[Run, ...]:
    control = set(tokenizer.added_tokens_decoder)

    def kind_of(token: int) -> str:
        return IMAGE if token in images else TOKEN if token in control else TEXT

    runs = []
    for kind, group in groupby(ids, key=kind_of):
        part = list(group)
        decoded = part[:1] if kind == IMAGE else part
        text = tokenizer.decode(
            decoded, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        runs.append(Run(kind, text, len(part)))
    return tuple(runs)
