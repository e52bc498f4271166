"""Load a checkpoint: from the hub, from a folder, or the shipped one."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils.hub import cached_file

from savs.datasets.prompt import SPLIT
from savs.pipeline.demo import DEMO_MODEL, DEMO_NAME
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.identity import portable
from savs.pipeline.extraction.model import LoadedModel
from savs.pipeline.extraction.own_code import OwnCode, load_own_code
from savs.pipeline.extraction.prompting import chat_inputs, require_plain_mark, text_inputs
from savs.pipeline.extraction.remedies import explained
from savs.pipeline.extraction.taps import find_taps

DTYPES = ("auto", "bfloat16", "float16", "float32")
KINDS = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)
"""What a checkpoint is loaded as: the first that knows its architecture."""
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
    if min_pixels is not None and max_pixels is not None and min_pixels > max_pixels:
        raise ModelError(f"min_pixels is {min_pixels}, more than max_pixels, {max_pixels}")
    given = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    pixels = {key: value for key, value in given.items() if value is not None}
    path = str(DEMO_MODEL) if name == DEMO_NAME else name
    keywords = dict(model_kwargs or {})
    if taken := [key for key in keywords if key in WITH_OPTIONS]:
        raise ModelError(f"model_kwargs has {taken[0]!r}; give {WITH_OPTIONS[taken[0]]} instead")
    own = load_own_code(model_code) if model_code else OwnCode()
    where: Any = ("auto" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    with explained("model", name):
        found = cached_file(path, "config.json", revision=revision)  # fails at once if it is absent
        kind = _kind(AutoConfig.from_pretrained(path, **source))
        text_only = kind is AutoModelForCausalLM
        processor = (AutoTokenizer if text_only else AutoProcessor).from_pretrained(path, **source)
        loaded: Any = kind.from_pretrained(
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
    if own.to_inputs is None and getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name} has no chat template, so its prompt form is unknown; put a chat_template.jinja"
            " beside its config.json and give the folder as --model, or give --model-code with"
            " to_inputs"
        )
    _limit_pixels(name, processor, pixels)
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
        to_inputs=own.to_inputs or (text_inputs if text_only else chat_inputs),
        settings={key: value for key, value in settings.items() if value},
        placeholders=placeholders,
    )


def _kind(config: Any) -> Any:
    """Return the class that loads a checkpoint; code that comes with it may know more of them."""
    remote = getattr(config, "auto_map", None) or {}
    for kind in KINDS:
        if type(config) in kind._model_mapping or kind.__name__ in remote:
            return kind
    raise ValueError(
        f"{type(config).__name__} is no architecture with a language decoder that this"
        " transformers release can load"
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


def _limit_pixels(name: str, processor: Any, pixels: Mapping[str, int]) -> None:
    """Set the limits in a processor that has them: there its size means pixels, not edges."""
    images = getattr(processor, "image_processor", None)
    for key, value in pixels.items():
        if key not in getattr(getattr(images, "valid_kwargs", None), "__annotations__", {}):
            option = "--" + key.replace("_", "-")
            raise ModelError(f"the image processor of {name} has no pixel limits; drop {option}")
        edge = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}[key]
        sizes: Any = images
        sizes.size = type(sizes.size)(**{**dict(sizes.size), edge: value})


def _commit(path: str | None) -> str | None:
    found = re.search(r"/snapshots/([0-9a-f]{40})/", Path(path or "").as_posix())
    return found[1] if found else None
