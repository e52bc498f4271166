"""Load a checkpoint: from the hub, from a folder, or the shipped one."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils import logging
from transformers.utils.hub import cached_file

from savs.pipeline.demo import DEMO_MODEL, DEMO_NAME
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model import LoadedModel
from savs.pipeline.extraction.own_code import OwnCode, load_own_code
from savs.pipeline.extraction.prompting import chat_inputs, text_inputs
from savs.pipeline.extraction.taps import find_taps

DTYPES = ("auto", "bfloat16", "float16", "float32")
KINDS = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)
"""What a checkpoint is loaded as: the first that knows its architecture."""


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
        More keyword arguments of `from_pretrained`, for example for quantised loads.
    trust_remote_code
        Run Python code that comes with the checkpoint. Off, unless asked for.

    Raises
    ------
    ModelError
        Not found, no model with a language decoder, without a chat template, or without heads.
    """
    if dtype not in DTYPES:
        raise ModelError(f"no dtype is called {dtype!r}; there are: {', '.join(DTYPES)}")
    if min_pixels is not None and max_pixels is not None and min_pixels > max_pixels:
        raise ModelError(f"min_pixels is {min_pixels}, more than max_pixels, {max_pixels}")
    given = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    pixels = {key: value for key, value in given.items() if value is not None}
    path = str(DEMO_MODEL) if name == DEMO_NAME else name
    own = load_own_code(model_code) if model_code else OwnCode()
    where: Any = ("auto" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    with _loading(name):
        found = cached_file(path, "config.json", revision=revision)  # fails at once if it is absent
        kind = _kind(AutoConfig.from_pretrained(path, **source))
        text_only = kind is AutoModelForCausalLM
        processor = (AutoTokenizer if text_only else AutoProcessor).from_pretrained(path, **source)
        loaded: Any = kind.from_pretrained(
            path,
            dtype=dtype,
            device_map=where,
            attn_implementation=attention,
            output_loading_info=True,
            **source,
            **(model_kwargs or {}),
        )
        model, report = loaded
        if adapter is not None:
            model.load_adapter(adapter)
    _require_weights(name, report)
    if own.to_inputs is None and getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name} has no chat template, so its prompt form is unknown; put a chat_template.jinja"
            " beside its config.json and give the folder as --model, or give --model-code with"
            " to_inputs"
        )
    _limit_pixels(name, processor, pixels)
    settings = {"adapter": adapter, "code": own.digest, "kwargs": dict(model_kwargs or {})}
    return LoadedModel(
        name=Path(name).resolve().name if Path(name).is_dir() else name,
        model=model.eval(),
        processor=processor,
        taps=tuple((own.find_heads or find_taps)(model)),
        revision=_commit(found),
        pixels=pixels,
        to_inputs=own.to_inputs or (text_inputs if text_only else chat_inputs),
        settings={key: value for key, value in settings.items() if value},
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


def _require_weights(name: str, report: Mapping[str, Any]) -> None:
    absent = sorted([*report["missing_keys"], *report["mismatched_keys"]])
    if absent:
        raise ModelError(
            f"{len(absent)} weights of {name} are not in its files, or not of their shape, and"
            f" would be random: {absent[0]} ...; get the whole checkpoint"
        )


@contextmanager
def _loading(name: str) -> Iterator[None]:
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
            f"model {name!r} cannot be loaded: {reason}; {_remedy(error, str(error))}"
        ) from error
    finally:
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def _remedy(error: Exception, text: str) -> str:
    """Return what to do about a checkpoint that cannot be loaded."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "it needs more memory: a larger GPU, --device auto over several, or --model-kwargs"
    if "gated" in text.lower():
        return "ask for access on its page, then set HF_TOKEN"
    if "trust_remote_code" in text:
        return "if you trust the code that comes with it, give --trust-remote-code"
    if isinstance(error, ImportError):
        return "install what it names"
    return (
        "give --model a Hugging Face id, a folder with config.json and weights, or"
        f" {DEMO_NAME!r} (offline, only what was fetched before can be loaded)"
    )


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
