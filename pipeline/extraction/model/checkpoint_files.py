"""The files of a checkpoint that features depend on, and their digests.

Weights are known by the SHA-256 of their whole files. For a large file from the Hugging Face hub
this is the name of its blob in the cache, so it need not be read for that.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from huggingface_hub import constants
from transformers.utils.hub import cached_file
from transformers.utils.import_utils import is_peft_available

from savs.foundation.file_digests import (
    FileDigest,
    FileState,
    bytes_to_read,
    changed_files,
    file_digest,
    file_digests,
)
from savs.foundation.files import real_path
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.stores.format.layout import decode_json, digest

SAFETENSORS = "model.safetensors"
SUFFIX = ".safetensors"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
PROCESSOR = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
TOKENIZER = (
    *("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json"),
    "tekken.json",
)
"""In addition to those that the tokenizer's class names."""
WHERE = ("cache_dir", "token", "local_files_only", "subfolder")
"""Keyword arguments of `from_pretrained` that also say where files are."""
NOT_OF_PROMPTS = ("chat_template", "name_or_path", "transformers_version")
"""Fields of JSON files that say nothing about tokens; the chat template is compared on its own."""
REMOTE_CODE = "transformers_modules"
"""The package of modules that came with checkpoints."""


class PickledWeightsError(OSError):
    """Weights that are in no safetensors file: a pickle may run code, and is never loaded."""


class _Files:
    """The files of a checkpoint; what is not on this host yet is fetched."""

    def __init__(self, source: str, revision: str | None, keywords: Mapping[str, Any]) -> None:
        self._source, self._revision = source, revision
        self._where = {key: keywords[key] for key in WHERE if key in keywords}

    def find(self, name: str) -> Path | None:
        path = cached_file(
            self._source,
            name,
            revision=self._revision,
            _raise_exceptions_for_missing_entries=False,
            **self._where,
        )
        return None if path is None else Path(path)

    def there(self, names: Iterable[str]) -> dict[str, Path]:
        return {name: path for name in names if (path := self.find(name))}

    def required(self, name: str) -> Path:
        if path := self.find(name):
            return path
        raise OSError(f"its file {name} is missing")


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files from which the weights of a model are read."""

    files: Mapping[str, FileDigest]
    """Name -> digest."""

    @property
    def digest(self) -> str:
        """SHA-256 of the names and digests of all files."""
        return digest({name: file.sha256 for name, file in self.files.items()})

    def require_unchanged(self, name: str) -> None:
        """Raise ModelError if a file has changed: what was loaded may be of both contents."""
        if changed := changed_files(self.files):
            raise ModelError(
                f"{changed[0]} of {name} changed while the model was loaded; run the same command"
                " again when it is complete"
            )


class WeightIndex(msgspec.Struct):
    """What the index of a checkpoint of several files says."""

    weight_map: dict[str, str]
    """Weight -> the name of its file."""
    metadata: dict[str, Any] = {}
    """`total_size` is the bytes of all weights."""


def weight_paths(options: ModelOptions, config: Any, revision: str | None) -> dict[str, Path]:
    """Return the files that transformers takes weights from, in its order of preference.

    OSError, ValueError, TypeError if there is none, it cannot be fetched, or the list of files is
    no such list.
    """
    keywords = dict(options.model_kwargs or {})
    files = _Files(options.path, revision or options.revision, keywords)
    if gguf := keywords.get("gguf_file"):
        path = Path(gguf) if Path(gguf).is_file() else files.required(gguf)
        return {path.name: path}
    name, path = main_file(options, config, revision)
    paths = {name: path}
    if is_index(path):
        shards = sorted({*read_index(path).weight_map.values()})
        if pickled := [shard for shard in shards if not shard.endswith(SUFFIX)]:
            raise PickledWeightsError(f"{name} names {pickled[0]}, which is no safetensors file")
        paths |= {shard: files.required(shard) for shard in shards}
    more = [*getattr(type(config), "extra_files", ())]
    if is_peft_available():  # transformers puts it on without being asked
        more += _adapter_files(files)
    return paths | files.there(more)


def main_file(options: ModelOptions, config: Any, revision: str | None) -> tuple[str, Path]:
    """Return name and path of the file of all weights, or of the index; errors: `weight_paths`."""
    keywords = dict(options.model_kwargs or {})
    files = _Files(options.path, revision or options.revision, keywords)
    stated = keywords.get("transformers_weights", getattr(config, "transformers_weights", None))
    variant = f".{keywords['variant']}" if keywords.get("variant") else ""
    usual = f"model{variant}{SUFFIX}", f"{SAFETENSORS}.index{variant}.json"
    for name in [stated] if stated else usual:
        if name.endswith((SUFFIX, ".json")) and (path := files.find(name)):
            return name, path
    raise PickledWeightsError(f"there is no file {' or '.join(usual)}")


def is_index(path: Path) -> bool:
    """Return whether a file of weights is an index of others."""
    return path.suffix == ".json"


def read_index(path: Path) -> WeightIndex:
    """Return the index of a checkpoint of several files; ValueError if it is not an index."""
    return msgspec.convert(decode_json(path.read_bytes()), WeightIndex)


def weight_files(paths: Mapping[str, Path]) -> WeightFiles:
    """Return digests of weight files, recorded by the hub or read; OSError if one fails."""
    recorded = {name: file for name, path in paths.items() if (file := _recorded(path))}
    others = [name for name in paths if name not in recorded]
    read = file_digests([paths[name] for name in others])
    return WeightFiles(recorded | dict(zip(others, read, strict=True)))


def unread_bytes(paths: Mapping[str, Path]) -> int:
    """Return how many bytes must be read for the digests of weight files."""
    return bytes_to_read([path for path in paths.values() if _recorded(path) is None])


def local_weight_paths(
    options: ModelOptions, config: Any, revision: str | None
) -> dict[str, Path] | None:
    """Return what `weight_paths` does if all files are on this host, else None."""
    local = dict(options.model_kwargs or {}) | {"local_files_only": True}
    try:
        return weight_paths(replace(options, model_kwargs=local), config, revision)
    except (OSError, ValueError, TypeError):  # also of a name that config.json has as a number
        return None


def adapter_digest(adapter: str) -> str:
    """Return the digest of a PEFT adapter's files; OSError if there is none, or one fails."""
    files = _Files(adapter, None, {})
    paths = files.there(_adapter_files(files))
    if not paths:
        raise OSError(f"there is no file {' or '.join(ADAPTER)}")
    return weight_files(paths).digest


def _adapter_files(files: _Files) -> Sequence[str]:
    """Return the names of an adapter's files; PickledWeightsError for one without safetensors."""
    config, weights = ADAPTER
    if files.find(config) and not files.find(weights):
        raise PickledWeightsError(f"there is a file {config}, and none {weights}")
    return ADAPTER


def prompt_files(options: ModelOptions, processor: Any, revision: str | None) -> dict[str, str]:
    """Return the digest of each file that tokens and pixels depend on, apart from chat templates.

    JSON files of settings are compared as values, so that their layout does not matter. OSError,
    ValueError if a file cannot be read.
    """
    files = _Files(options.path, revision or options.revision, {})
    paths = files.there(PROCESSOR)
    for folder, tokenizer in _tokenizers(processor):
        names = dict.fromkeys((*TOKENIZER, *getattr(tokenizer, "vocab_files_names", {}).values()))
        paths |= files.there(f"{folder}{name}" for name in names)
        settings = paths.get(f"{folder}{TOKENIZER[0]}")
        versions = _settings(settings).get("fast_tokenizer_files", ()) if settings else ()
        paths |= files.there(f"{folder}{name}" for name in versions)
    return {name: _content_digest(name, path) for name, path in sorted(paths.items())}


def code_digest(*parts: Any) -> str | None:
    """Return the digest of the Python files that came with a checkpoint; None without any."""
    folders = {
        Path(str(module.__file__)).parent
        for part in parts
        for kind in type(part).__mro__
        if kind.__module__.partition(".")[0] == REMOTE_CODE
        and (module := sys.modules[kind.__module__]).__file__
    }
    files = sorted({path for folder in folders for path in folder.glob("*.py")})
    return digest([[path.name, path.read_text("utf-8")] for path in files]) if files else None


def _recorded(path: Path) -> FileDigest | None:
    """Return the digest that the hub records of a file in its cache, None for any other file.

    Files in git have shorter names, and links elsewhere prove nothing.
    """
    blob = real_path(path)
    is_cached = blob.is_relative_to(real_path(Path(constants.HF_HUB_CACHE)))
    if not path.is_symlink() or not is_cached or not re.fullmatch("[0-9a-f]{64}", blob.name):
        return None
    return FileDigest(str(blob), FileState.of(blob), blob.name)


def _tokenizers(processor: Any) -> Iterator[tuple[str, Any]]:
    """Yield the folder and the object of each tokenizer that a processor has, or is."""
    yield "", getattr(processor, "tokenizer", processor)
    for name in processor.get_attributes() if hasattr(processor, "get_attributes") else ():
        if "tokenizer" in name and name != "tokenizer":
            yield f"{name}/", getattr(processor, name)


def _content_digest(name: str, path: Path) -> str:
    if not name.endswith("config.json"):
        return file_digest(path).sha256
    settings = _settings(path)
    return digest({key: item for key, item in settings.items() if key not in NOT_OF_PROMPTS})


def _settings(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return value
