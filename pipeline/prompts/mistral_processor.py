"""Voxtral's processor by the interface of others: it has no chat template in Jinja.

Mistral's own package, mistral-common, words its prompts as tokens, in which no text of a prompt
becomes a control token. It takes sounds as encoded files alone: here WAV files of the same float32
samples.
"""

import io
from base64 import b64encode
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from savs.pipeline.errors import MissingExtraError

MODEL_TYPES = ("voxtral",)
"""Types of models whose processor this is for."""
PACKAGES = {"mistral_common": "mistral-common", "soundfile": "soundfile"}
_SILENCE = np.zeros(1600, np.float32)
"""For a turn that is only written out, to see where a sound stands."""


def require_mistral(name: str) -> None:
    """Raise MissingExtraError if a package that the processor needs is not installed."""
    missing = [of for module, of in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"the processor of {name} needs {' and '.join(missing)}; install with: pip install"
            f" {' '.join(missing)}"
        )


class MistralProcessor:
    """A processor whose `apply_chat_template` takes sounds as samples, as those of others do."""

    chat_template = "mistral-common"
    """What words a prompt, in the place of a template."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.feature_extractor = processor.feature_extractor
        self.tokenizer = processor.tokenizer
        self.tokenizer.added_tokens_decoder = {}  # what it has in its place raises
        self.audio_token = processor.audio_token

    def apply_chat_template(self, conversation: Any, *, tokenize: bool = True, **_: Any) -> Any:
        """Return one conversation as text, or several as a batch that is padded on the left.

        ValueError if mistral-common refuses the turns. A generation prompt is always there.
        """
        refusal = import_module("mistral_common.exceptions").MistralCommonException
        try:
            turns = [
                [*map(self._turn, one)] for one in (conversation if tokenize else [conversation])
            ]
            inputs = self._processor.apply_chat_template(turns)
        except refusal as error:
            raise ValueError(f"mistral-common refuses the prompt: {error}") from error
        return inputs if tokenize else self.tokenizer.decode(inputs["input_ids"][0])

    def _turn(self, turn: Mapping[str, Any]) -> dict[str, Any]:
        return {"role": turn["role"], "content": [*map(self._piece, turn["content"])]}

    def _piece(self, piece: Mapping[str, Any]) -> Mapping[str, Any]:
        if piece["type"] != "audio":
            return piece
        file, rate = io.BytesIO(), self.feature_extractor.sampling_rate
        samples = piece.get("audio", _SILENCE)
        import_module("soundfile").write(file, samples, rate, format="WAV", subtype="FLOAT")
        return {"type": "audio", "base64": b64encode(file.getvalue()).decode()}
