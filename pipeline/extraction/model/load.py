"""Load a checkpoint: from the hub, from a folder, or the shipped one."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

from savs.datasets.prompt import SPLIT
from savs.pipeline.demo import DEMO_MODEL, DEMO_NAME
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import find_taps
from savs.pipeline.extraction.model.identity import portable
from savs.pipeline.extraction.model.load_errors import explained
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.processor import (
    limit_pixels,
    parse_limits,
    read_checkpoint,
    require_template,
)
from savs.pipeline.extraction.model.prompts import chat_inputs, require_plain_mark, text_inputs
from savs.pipeline.extraction.model.user_code import OwnCode, load_own_code

DTYPES = ("auto", "bfloat16", "float16", "float32")
WITH_OPTIONS = {
    "dtype": "--dtype",
    "torch_dtype": "--dtype",
    "attn_implementation": "--attention",
    "revision": "--revision",
    "trust_remote_code": "--trust-remote-code",
}
"""Keyword arguments of `from_pretrained` that are options here."""
NO_MATTER = (
    *("device_map", "max_memory", "offload_folder", "offload_buffers"),
    *("cache_dir", "force_download", "local_files_only", "token"),
)
"""Those that say where weights come from and lie, not what they are."""


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    adapter: str | None = None,
    model_code: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    placeholders: str = SPLIT,
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
    adapter
        A PEFT adapter to put on the model: an id or a folder.
    model_code
        A Python file, or an entry point's name, with a `find_heads` or `to_inputs` of one's own,
        see `OwnCode`. It runs as it stands: give it only if you trust it.
    model_kwargs
        More keyword arguments of `from_pretrained`, for example for quantised loads; a
        `device_map` among them, for example over `cpu` and `disk`, replaces `device`.
    trust_remote_code
        Run Python code that comes with the checkpoint. Off, unless asked for.
    placeholders
        `split` puts each image at its `<image>` mark; `keep` puts all images first and leaves the
        marks in the text, as the public reference does on Qwen.

    Raises
    ------
    ModelError
        Not found, no model with a language decoder, without a chat template, or without heads; or
        `keep` for a model to which the mark is a token of its own.
    """
    if dtype not in DTYPES:
        raise ModelError(f"no dtype is called {dtype!r}; there are: {', '.join(DTYPES)}")
    pixels = parse_limits(min_pixels, max_pixels)
    path = str(DEMO_MODEL) if name == DEMO_NAME else name
    keywords = dict(model_kwargs or {})
    if taken := [key for key in keywords if key in WITH_OPTIONS]:
        raise ModelError(f"model_kwargs has {taken[0]!r}; give {WITH_OPTIONS[taken[0]]} instead")
    own = load_own_code(model_code) if model_code else OwnCode()
    where: Any = ("auto" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    with explained("model", name):
        found = cached_file(path, "config.json", revision=revision)  # fails at once if it is absent
        checkpoint = read_checkpoint(path, **source)
        processor = checkpoint.processor
        loaded: Any = checkpoint.kind.from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
            **source,
            **{"device_map": where, **keywords},
        )
        model, report = loaded
    _require_weights(name, [*report["missing_keys"], *report["mismatched_keys"]])
    if adapter is not None:
        _put_on(model, adapter)
    if own.to_inputs is None:
        require_template(name, processor)
    limit_pixels(name, processor, pixels)
    if placeholders != SPLIT:
        require_plain_mark(name, processor, placeholders)
    settings = {
        "adapter": adapter and _plain_name(adapter),
        "code": own.digest,
        "kwargs": portable({k: v for k, v in keywords.items() if k not in NO_MATTER}),
        "placeholders": placeholders if placeholders != SPLIT else None,
    }
    return LoadedModel(
        name=_plain_name(name),
        model=model.eval(),
        processor=processor,
        taps=tuple((own.find_heads or find_taps)(model)),
        revision=_commit(found),
        pixels=pixels,
        to_inputs=own.to_inputs or (text_inputs if checkpoint.text_only else chat_inputs),
        settings={key: value for key, value in settings.items() if value},
        placeholders=placeholders,
    )


def _require_weights(name: str, absent: Iterable[Any]) -> None:
    if found := sorted(map(str, absent)):
        raise ModelError(
            f"{len(found)} weights of {name} are not in its files, or not of their shape, and"
            f" would be random: {found[0]} ...; get the whole checkpoint"
        )


def _put_on(model: Any, adapter: str) -> None:
    """Put a PEFT adapter on a model, all of it: what does not fit would be random, or left out."""
    with explained("adapter", adapter):
        report = model.load_adapter(adapter)
    wrong = sorted({*report.missing_keys, *report.unexpected_keys})
    if wrong:
        raise ModelError(
            f"adapter {adapter} does not fit the model: {len(wrong)} weights are in one of them"
            f" only: {wrong[0]} ...; give --adapter one that was trained on this model"
        )


def _plain_name(name: str) -> str:
    """Return a folder's own name, wherever it lies, or the hub's id."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _commit(path: str | None) -> str | None:
    found = re.search(r"/snapshots/([0-9a-f]{40})/", Path(path or "").as_posix())
    return found[1] if found else None
