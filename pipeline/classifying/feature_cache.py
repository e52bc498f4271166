"""Features of images on the disk by their content: no image goes through a model twice.

A folder belongs to one model and prompt. A file
`SHA-256.heads` holds the heads of the image of that content in the model's type, and a checksum.
Processes that share a folder take turns at the model: one that waited finds what the other
computed.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from savs.datasets.errors import MediaError
from savs.foundation.arrays import Array
from savs.foundation.file_digests import FileState
from savs.foundation.files import whole_file
from savs.pipeline.demo import SHIPPED
from savs.pipeline.encoders.recipe import read_recipe
from savs.pipeline.errors import ModelError, OutputError
from savs.pipeline.extraction.effects import NOTHING, changed_fields
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import Site
from savs.pipeline.prompts.prompt_form import parse_form
from savs.pipeline.running.output_files import disk_errors
from savs.stores import ANSWERS_HEAD, Head, LayerGrid, StoreWriteError
from savs.stores.format.layout import STORED_DTYPES, decode_json, digest, grid_widths, to_float32
from savs.stores.format.manifest import FeatureSource
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims

SOURCE = "source.json"
"""File that records the source of the features in a folder."""
HEADS = ".heads"
TURN = "turn"
"""What the process claims that may run the model; file systems of clusters may lack locks."""
CRC_BYTES = 4
MOST_IN_MEMORY = 2**30
"""Bytes of features that stay in the memory of a process."""
CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class ImageHeads:
    """Heads of some images at the last token of one prompt."""

    source: FeatureSource
    """The model, with the layers that were loaded."""
    grid: tuple[LayerGrid, ...]
    """The heads that were read."""
    values: Array
    """`(images, values)` in the stored type: heads side by side, in the order of the grid."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Name -> reason of the images that have no values."""
    answers: Array | None = None
    """`(images, classes)` float32 log-likelihoods of the classes, which are one more head."""

    def whole(self) -> "ImageHeads":
        """Return these heads; MediaError if an image was skipped."""
        for name, reason in self.skipped.items():
            raise MediaError(reason if name in reason else f"{name}: {reason}")
        return self

    def features(self) -> tuple[list[Head], Array]:
        """Return the heads, and their `(heads, images, d)` float32 features.

        Narrow heads are padded with zeros.
        """
        widths = grid_widths(self.grid)
        answers = np.zeros((len(self.values), 0)) if self.answers is None else self.answers
        names, width = [*widths], max(*widths.values(), answers.shape[1])
        features = np.zeros((len(widths) + 1, len(self.values), width), np.float32)
        features[-1, :, : answers.shape[1]] = answers
        start = 0
        for number, width in enumerate(widths.values()):
            columns = self.values[:, start : start + width]
            features[number, :, :width] = to_float32(
                np.ascontiguousarray(columns), self.source.dtype
            )
            start += width
        if self.answers is None:
            return names, features[:-1]
        return [*names, ANSWERS_HEAD], features


def pinned(options: ModelOptions) -> ModelOptions:
    """Return options with the commit that the local cache has of a model on the hub.

    So what is loaded later is what features were kept of, even if its branch moves on. Unchanged
    for a folder, and for a model that was never fetched.
    """
    if Path(options.path).is_dir():
        return options
    commit = _cached_commit(options.path, options.revision)
    return options if commit is None else replace(options, revision=commit)


def not_here(model: str | Path, revision: str | None) -> str:
    """Return a sentence on a model that must be fetched before it runs; empty if it is here."""
    is_here = Path(model).is_dir() or str(model) in SHIPPED
    if is_here or _cached_commit(str(model), revision) is not None:
        return ""
    at = f" at revision {revision}" if revision else ""
    return (
        f"the model {model}{at} is not on this machine: the first prediction fetches it from the"
        " Hugging Face hub"
    )


def _cached_commit(model: str, revision: str | None) -> str | None:
    """Return the commit that the local cache has of a model; ModelError if it is no name."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model, CONFIG, revision=revision)
    except HFValidationError as error:
        raise ModelError(
            f"model {model!r} is neither a local folder nor an id of the hub, owner/name"
        ) from error
    return Path(config).parent.name if isinstance(config, str) else None


def features_key(
    options: ModelOptions, question: str, decoding: Mapping[str, Any], sites: Sequence[Site]
) -> str:
    """Return a digest of all that features of an image depend on, in addition to the image.

    Those are all options of the model that change features. A local model, and its adapter, are
    known by their files' names, sizes, times and inodes, see `model_files`.
    """
    form, recipe = options.prompt_template, read_recipe(options.embedding)
    facts: dict[str, Any] = {
        **{
            name: str(value)
            for name, value, effect in changed_fields(options)
            if effect.features != NOTHING
        },
        "model": options.path,
        "files": model_files(options),
        "prompt_template": None if form is None else parse_form(form).text,
        "embedding": None if recipe is None else recipe.facts(),
        "question": question,
        "decoding": dict(decoding),
        "sites": [site.label for site in sites],
        "versions": [version("savs"), version("transformers"), version("torch")],
    }
    return digest(facts)


def model_files(options: ModelOptions) -> list[list[Any]]:
    """Return path and state of each file in the folders of a local model and adapter.

    They change where one is written to, replaced or added. Of folders in them only those of
    further tokenizers count. Empty for a model of the hub.
    """
    folders = [Path(place) for place in (options.path, options.adapter) if place is not None]
    patterns = ("*", "*tokenizer*/*")
    paths = {path for folder in folders for pattern in patterns for path in folder.glob(pattern)}
    return [[str(path), *astuple(FileState.of(path))] for path in sorted(paths) if path.is_file()]


Compute = Callable[[Sequence[str]], ImageHeads]
"""SHA-256 of images -> all their heads."""


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """A folder of features of one model and prompt."""

    folder: Path

    def get(self, digests: Sequence[str], compute: Compute) -> ImageHeads:
        """Return the heads of images by their SHA-256; compute and store the missing ones.

        OutputError if the folder cannot be written, or holds features of another model.
        """
        wanted = list(dict.fromkeys(digests))
        source = self._source()
        rows = self._read(wanted, source) if source is not None else {}
        if len(rows) < len(wanted):
            with self._turn():
                source = self._source()
                rows = self._read(wanted, source) if source is not None else {}
                missing = [name for name in wanted if name not in rows]
                if missing:
                    heads = compute(missing)
                    source = self._keep(missing, heads, source)
                    rows |= dict(zip(missing, heads.values, strict=True))
        assert source is not None
        return ImageHeads(source, source.grid, np.stack([rows[name] for name in digests]))

    def _read(self, digests: Sequence[str], source: FeatureSource) -> dict[str, Array]:
        """Return the rows that are there and whole."""
        dtype = STORED_DTYPES[source.dtype]
        size = source.row_bytes
        rows = {}
        for name in digests:
            try:
                data = self._path(name).read_bytes()
            except FileNotFoundError:
                continue
            if len(data) == size + CRC_BYTES and data[size:] == _crc(data[:size]):
                rows[name] = np.frombuffer(data[:size], dtype)
        return rows

    def _keep(
        self, digests: Sequence[str], heads: ImageHeads, source: FeatureSource | None
    ) -> FeatureSource:
        if source is not None and source.to_json() != heads.source.to_json():
            raise OutputError(
                f"{self.folder} holds features of another model than the one that runs; remove it,"
                " or pass another cache"
            )
        with self._disk_errors():
            for name, row in zip(digests, heads.values, strict=True):
                self._path(name).parent.mkdir(exist_ok=True)
                data = row.tobytes()
                with whole_file(self._path(name)) as partial:
                    partial.write_bytes(data + _crc(data))
            if source is None:
                with whole_file(self.folder / SOURCE) as partial:
                    partial.write_bytes(msgspec.json.encode(heads.source.to_json()))
        return heads.source

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}{HEADS}"

    def _source(self) -> FeatureSource | None:
        try:
            data = (self.folder / SOURCE).read_bytes()
            return msgspec.convert(decode_json(data), FeatureSource)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self.folder / SOURCE} cannot be read ({error}); remove {self.folder}"
            ) from error

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        where, advice = f"the cache {self.folder}", "another cache, or False for none"
        try:
            with disk_errors(where, advice):
                yield
        except StoreWriteError as error:  # of the claims, by which processes take turns
            raise OutputError(f"{where} cannot be written: {error}; pass {advice}") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other process or thread computes for this folder."""
        with ExitStack() as stack:
            with self._disk_errors():
                self.folder.mkdir(parents=True, exist_ok=True)
                claims = stack.enter_context(Claims(ClaimFiles(self.folder)))
                stack.enter_context(claims.hold(TURN))
            yield


@dataclass(slots=True)
class MemoryCache:
    """Features of images in this process by their content; those that were used last stay."""

    turn: threading.RLock = field(default_factory=threading.RLock)
    sources: dict[str, FeatureSource] = field(default_factory=dict)
    """Model and prompt, see `features_key` -> the source of their features."""
    rows: OrderedDict[tuple[str, str], Array] = field(default_factory=OrderedDict)
    bytes: int = 0

    def get(self, key: str, digests: Sequence[str], compute: Compute) -> ImageHeads:
        """Return the heads of images by their SHA-256; compute and keep the missing ones."""
        with self.turn:
            wanted = dict.fromkeys(digests)
            if missing := [name for name in wanted if (key, name) not in self.rows]:
                found = compute(missing)
                self.sources[key] = found.source
                for name, row in zip(missing, found.values, strict=True):
                    self.rows[key, name] = row.copy()  # a row of them all would keep them all
                    self.bytes += row.nbytes
            for name in wanted:
                self.rows.move_to_end((key, name))
            source, rows = self.sources[key], [self.rows[key, name] for name in digests]
            while self.bytes > MOST_IN_MEMORY:
                self.bytes -= self.rows.popitem(last=False)[1].nbytes
            return ImageHeads(source, source.grid, np.stack(rows))


MEMORY = MemoryCache()


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")
