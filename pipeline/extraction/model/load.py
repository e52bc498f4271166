"""Load a checkpoint: from the hub, from a folder, or the shipped one."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

from savs.datasets.prompt import SPLIT
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import find_hook_points
from savs.pipeline.extraction.model.identity import portable
from savs.pipeline.extraction.model.load_errors import explained
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.processor import (
    limit_pixels,
    read_checkpoint,
    require_template,
)
from savs.pipeline.extraction.model.prompts import chat_inputs, require_plain_mark, text_inputs
from savs.pipeline.extraction.model.user_code import OwnCode, load_own_code

NO_MATTER = (
    *("device_map", "max_memory", "offload_folder", "offload_buffers"),
    *("cache_dir", "force_download", "local_files_only", "token"),
)
"""Keyword arguments of `from_pretrained` that change where weights are, not what they are."""


def load(options: ModelOptions) -> LoadedModel:
    """Load a checkpoint, see `load_model`.

    Raises
    ------
    ModelError
        Not found, no model with a language decoder, without a chat template, or without heads; or
        `keep` for a model to which the mark is a token of its own.
    """
    name, keywords = str(options.model), dict(options.model_kwargs or {})
    own = load_own_code(str(options.model_code)) if options.model_code else OwnCode()
    with explained("model", name):
        # fails at once where the checkpoint is absent
        found = cached_file(options.path, "config.json", revision=options.revision)
        checkpoint = read_checkpoint(options)
        processor = checkpoint.processor
        loaded: Any = checkpoint.kind.from_pretrained(
            options.path,
            dtype=options.dtype,
            attn_implementation=options.attention,
            output_loading_info=True,
            **options.source,
            **{"device_map": _device(options.device), **keywords},
        )
        model, report = loaded
    _require_weights(name, [*report["missing_keys"], *report["mismatched_keys"]])
    if options.adapter is not None:
        _put_on(model, str(options.adapter))
    if own.to_inputs is None:
        require_template(name, processor)
    limit_pixels(name, processor, options.pixels)
    require_plain_mark(name, processor, options.placeholders)
    settings = {
        "adapter": options.adapter and _plain_name(str(options.adapter)),
        "code": own.digest,
        "kwargs": portable({k: v for k, v in keywords.items() if k not in NO_MATTER}),
        "placeholders": options.placeholders if options.placeholders != SPLIT else None,
    }
    return LoadedModel(
        name=_plain_name(name),
        model=model.eval(),
        processor=processor,
        hook_points=tuple((own.find_heads or find_hook_points)(model)),
        revision=_commit(found),
        pixels=options.pixels,
        to_inputs=own.to_inputs or (text_inputs if checkpoint.text_only else chat_inputs),
        settings={key: value for key, value in settings.items() if value},
        placeholders=options.placeholders,
    )


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "auto" if torch.cuda.is_available() else "cpu"


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
