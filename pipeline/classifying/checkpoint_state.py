"""What a checkpoint is before it is loaded: the key under which features of it are kept."""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_form import parse_form
from savs.stores.format.layout import digest

CONFIG = "config.json"


def pinned(options: ModelOptions) -> ModelOptions:
    """Return options with the commit that the local cache has of a model on the hub.

    So what is loaded later is what features were kept of, even if its branch moves on. Unchanged
    for a folder, and for a model that was never fetched.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(options.path).is_dir():
        return options
    try:
        found = try_to_load_from_cache(options.path, CONFIG, revision=options.revision)
    except HFValidationError as error:
        raise ModelError(
            f"model {options.path!r} is neither a local folder nor an id of the hub, owner/name"
        ) from error
    return replace(options, revision=Path(found).parent.name) if isinstance(found, str) else options


def features_key(options: ModelOptions, question: str, decoding: Mapping[str, Any]) -> str:
    """Return a digest of all that features of an image depend on, beside the image.

    A folder is known by its files' names, sizes and times: one that is changed has another key.
    """
    form = options.prompt_template
    facts: dict[str, Any] = {
        "model": options.path,
        "revision": options.revision,
        "files": _files(Path(options.path)),
        "dtype": options.dtype,
        "pixels": options.pixels,
        "prompt_template": None if form is None else parse_form(form).text,
        "question": question,
        "decoding": dict(decoding),
        "versions": [version("savs"), version("transformers"), version("torch")],
    }
    return digest(facts)


def _files(folder: Path) -> list[list[Any]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return sorted([name, stat.st_size, stat.st_mtime_ns] for name, stat in found)
