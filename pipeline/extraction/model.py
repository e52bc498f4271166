"""Load a large multimodal model, put prompts to it, read its heads."""

import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.utils import logging as hub_logging
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging
from transformers.utils.hub import cached_file

from savs.pipeline.demo import DEMO_MODEL, DEMO_NAME
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.identity import model_facts, processor_facts, prompt_digest
from savs.pipeline.extraction.outputs import NO_OUTPUTS, Outputs, last_hidden_state, stored
from savs.pipeline.extraction.taps import Tap, find_taps, reading
from savs.stores import Identity

Pieces = tuple[str | Image.Image, ...]
"""A prompt as text and images in reading order."""

DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class Read:
    """What one forward pass says at the last token of each sequence."""

    heads: Mapping[int, np.ndarray[Any, Any]]
    """Layer -> `(heads, batch, head_dim)` in the stored type (bfloat16 as bits in uint16)."""
    outputs: Mapping[str, np.ndarray[Any, Any]]
    """What was kept beside the heads, `(batch, ...)` each."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen model with its processor and the taps on its heads; made by `load_model`."""

    name: str
    model: Any
    processor: Any
    taps: tuple[Tap, ...]
    revision: str | None
    """Commit of the checkpoint where it came from the hub."""
    pixels: Mapping[str, int]
    """`min_pixels` and `max_pixels`, where they were given."""

    @property
    def dtype(self) -> str:
        """Type that the model computes in."""
        return str(self.model.dtype).removeprefix("torch.")

    def identity(self, benchmark: Mapping[str, Any], outputs: Outputs = NO_OUTPUTS) -> Identity:
        """Return what a store of this model's features on a benchmark is of."""
        return Identity(
            model=model_facts(self.name, self.revision, self.model),
            processor=processor_facts(self.processor, self.pixels),
            dtype=self.dtype,
            benchmark=benchmark,
            prompt=prompt_digest(self.processor),
            grid=tuple(tap.grid for tap in self.taps),
            outputs=outputs.to_json(),
        )

    def inputs(self, prompts: Sequence[Pieces]) -> Any:
        """Return the model's inputs for a batch of prompts, padded on the left.

        Each prompt is one user turn in the model's chat template, generation prompt included. The
        model's own control tokens in a prompt's text are put to it as plain text.

        Raises
        ------
        ValueError
            The processor refuses a prompt or an image.
        """
        turns = [
            [{"role": "user", "content": [_content(piece) for piece in pieces]}]
            for pieces in prompts
        ]
        return self.processor.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=self._mentions_control_tokens(prompts),
            processor_kwargs={"padding": True, "padding_side": "left"},
        )

    def _mentions_control_tokens(self, prompts: Sequence[Pieces]) -> bool:
        tokens = [str(token) for token in self.processor.tokenizer.added_tokens_decoder.values()]
        known = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
        return any(
            known.search(piece) for pieces in prompts for piece in pieces if isinstance(piece, str)
        )

    def read(self, inputs: Any, outputs: Outputs = NO_OUTPUTS) -> Read:
        """Run one forward pass and return what it says at the last token.

        Raises
        ------
        ModelError
            A sequence ends in padding, or the model computes in another type than it says.
        """
        if not bool(inputs["attention_mask"][:, -1].all()):
            raise ModelError(f"the processor of {self.name} does not pad on the left as told")
        inputs, kept = inputs.to(self.model.device), {}
        with (
            torch.inference_mode(),
            last_hidden_state(self.model) if outputs.wanted else nullcontext([]) as hidden,
            reading(self.taps, to_the_end=outputs.wanted) as read,
        ):
            if outputs.wanted:
                logits = self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
                kept = outputs.of(logits, hidden[0])
            else:
                self.model(**inputs, use_cache=False)
        heads = {tap.grid.layer: self._stored(tap, read[tap.grid.layer]) for tap in self.taps}
        return Read(heads, kept)

    def _stored(self, tap: Tap, values: torch.Tensor) -> np.ndarray[Any, Any]:
        if values.dtype != self.model.dtype:
            raise ModelError(
                f"layer {tap.grid.layer} computes in {values.dtype}, the model in"
                f" {self.model.dtype}; give --dtype float32"
            )
        heads = values.view(len(values), len(tap.grid.heads), tap.grid.head_dim).transpose(0, 1)
        return stored(heads)


def _content(piece: str | Image.Image) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    return {"type": "image", "image": piece}


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> LoadedModel:
    """Load a checkpoint by hub id, by folder, or the shipped one by the name `demo`.

    Parameters
    ----------
    name
        A Hugging Face id, a local folder, or `demo`.
    revision
        Branch, tag or commit on the hub.
    dtype
        `auto` runs the checkpoint's own type.
    device
        `auto` spreads the model over the GPUs there are, else uses the CPU; or `cpu`, `cuda:1`,
        `mps` ...
    attention
        transformers' attention implementation: `sdpa`, `eager`, `flash_attention_2` ...
    min_pixels, max_pixels
        Limits to which the processor scales an image, where it has such limits.

    Raises
    ------
    ModelError
        Not found, no image-text-to-text model, without a chat template, or without heads to read.
    """
    if dtype not in DTYPES:
        raise ModelError(f"no dtype is called {dtype!r}; there are: {', '.join(DTYPES)}")
    if min_pixels is not None and max_pixels is not None and min_pixels > max_pixels:
        raise ModelError(f"min_pixels is {min_pixels}, more than max_pixels, {max_pixels}")
    given = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    pixels = {key: value for key, value in given.items() if value is not None}
    path = str(DEMO_MODEL) if name == DEMO_NAME else name
    where: Any = ("auto" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    with _loading(name):
        config = cached_file(
            path, "config.json", revision=revision
        )  # fails at once if it is absent
        processor = AutoProcessor.from_pretrained(path, revision=revision)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            path,
            revision=revision,
            dtype=dtype,
            device_map=where,
            attn_implementation=attention,
            output_loading_info=True,
        )
        model, report = loaded
    absent = sorted([*report["missing_keys"], *report["mismatched_keys"]])
    if absent:
        raise ModelError(
            f"{len(absent)} weights of {name} are not in its files, or not of their shape, and"
            f" would be random: {absent[0]} ...; get the whole checkpoint"
        )
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name} has no chat template, so its prompt form is unknown; put a chat_template.jinja"
            " beside its config.json and give the folder as --model"
        )
    _limit_pixels(name, processor, pixels)
    return LoadedModel(
        name=Path(name).resolve().name if Path(name).is_dir() else name,
        model=model.eval(),
        processor=processor,
        taps=find_taps(model),
        revision=_commit(config),
        pixels=pixels,
    )


@contextmanager
def _loading(name: str) -> Any:
    """Keep transformers quiet while it loads, and turn what it raises into one line."""
    bars, hub_level = logging.is_progress_bar_enabled(), hub_logging.get_verbosity()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()  # a line for each of many retries
    try:
        yield
    except Exception as error:  # every layer below has its own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0].rstrip(".") if lines else repr(error)
        raise ModelError(
            f"model {name!r} cannot be loaded: {reason}; give --model a Hugging Face id, a folder"
            f" with config.json and weights, or {DEMO_NAME!r}"
        ) from error
    finally:
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def _limit_pixels(name: str, processor: Any, pixels: Mapping[str, int]) -> None:
    """Set the limits in a processor that has them: there its size means pixels, not edges."""
    images = processor.image_processor
    for key, value in pixels.items():
        if key not in getattr(images.valid_kwargs, "__annotations__", {}):
            option = "--" + key.replace("_", "-")
            raise ModelError(f"the image processor of {name} has no pixel limits; drop {option}")
        edge = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}[key]
        images.size = type(images.size)(**{**dict(images.size), edge: value})


def _commit(path: str | None) -> str | None:
    found = re.search(r"/snapshots/([0-9a-f]{40})/", Path(path or "").as_posix())
    return found[1] if found else None
