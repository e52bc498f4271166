"""Format 1 of the feature store: every name, shape and version, in one place.

A store is a folder::

    store.json                          identity, plan, runs and, once sealed, the shard list
    train-00000.h5  test-00000.h5 ...   shards, immutable once they bear their final name
    claims/                             while processes write: who does what
    results/<name>/                     what stage 2 made of the features

A shard is an ordinary HDF5 file::

    /                      attributes: SHARD_ATTRIBUTES
    /layers/00012          (heads, rows, head_dim), contiguous; attribute `heads`
    /examples/<column>     (bytes,) uint8: a JSON list with one value a row; EXAMPLE_COLUMNS
    /outputs/<name>        optional, (rows, ...) contiguous: what the identity lists
    /skipped/<column>      the same columns for examples that could not be read, and `reason`
    /index                 (bytes,) uint8, the end of the file: where everything lies, checksums

bfloat16 is stored as its bits in uint16, because HDF5 has no such type; the root attribute `dtype`
says how to view them.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import ml_dtypes
import msgspec
import numpy as np
from msgspec import Meta

from savs.foundation.bounds import MAX_LEVELS, is_too_deep
from savs.stores.errors import HeadNotFoundError

FORMAT = 1
"""Version of everything described here, which stores are written in."""
READABLE = (FORMAT,)
"""Versions that are read; a reader refuses any other. Arrays of all are read by `arrays.py`."""

MANIFEST = "store.json"
RESULTS = "results"
CARD = "README.md"
"""What a store that was made to be shared says of itself."""
CLAIMS = "claims"
LAYERS = "layers"
EXAMPLES = "examples"
OUTPUTS = "outputs"
SKIPPED = "skipped"
INDEX = "index"

SHARD_ATTRIBUTES = (
    "format",  # int, FORMAT
    "split",  # train or test
    "number",  # int, counts the shards of a split from 0
    "plan",  # digest of the planned examples of this shard
    "identity",  # digest of the store's identity
    "dtype",  # bfloat16, float16 or float32
    "run",  # JSON: what the writer recorded about itself
)

SECONDS = "seconds"
"""Key of `run`: the time that a shard took; all else there is the same in shards of a process."""

GENERATED_CHARACTERS = 128
"""Width of the output `generated`: Unicode code points of a text, zeros after it."""
OUTPUT_TYPES = ("<f4", "<i4")
"""Types that an output may have, as numpy writes them: float32 and int32."""

SPLITS = ("train", "test")
"""The splits of labelled examples; a store may have others, named like `SPLIT_NAME`."""
UNLABELLED = "unlabelled"
"""Split of examples that wait for a label: they are neither trained on nor scored."""
CLASSES, CAPTIONS = "classes", "captions"
"""Splits of texts without images: the classes by name, and captions."""
TEXTS_OF_NAMES, TEXTS_OF_BENCHMARK, TEXTS_OF_FILE = "names", "benchmark", "file"
TEXTS_OF_PROMPTS = "prompts"
"""Category of a row of `CLASSES`: the name alone, in the benchmark's templates, in those of the
user's file, or before the benchmark's questions."""
SPLIT_NAME = r"^[a-z][a-z0-9_]*\Z"

EXAMPLE_COLUMNS: dict[str, bool] = {
    "index": True,  # position in the input file, from 0
    "id": True,
    "split": True,
    "label": False,
    "group": False,
    "subtask": False,
    "category": False,
    "prompt": True,
    "media": True,  # list of names, as the input file gives them
    "media_sha256": True,  # list, one digest a medium
    "extra": True,  # JSON object of the columns that the benchmark does not know, as text
}
"""Column of an example -> whether each row has a value."""
REASON_COLUMN = "reason"
THUMBNAIL_COLUMN = "thumbnail"
"""Optional column of bytes: a JPEG of at most 192 px a side, of the example's first image."""
THUMBNAIL_PX = 192

LOGIT_SCALE = "logit_scale"
"""Fact of a model that is a dual encoder: what it multiplies cosines by, or null."""
IMAGE_OUTPUTS = "image_outputs"
"""Fact of a model that is an image encoder: head -> what it is."""

SITE, HEADS_SITE = "site", "heads"
"""Fact of a model: the place in it that features are read from; absent for its attention heads."""

Head = tuple[int, int]
"""`(layer, head)`, both counted from 0 in the language model's decoder; or a `neuron` of one."""
NEURONS = 10**6
"""More than there are heads in a layer, or values in a head, see `neuron`."""
ANSWERS_HEAD: Head = (999_999, 0)
"""Stands among heads for what the model says of the classes, see `FeatureStore.with_answers`."""

STORED_DTYPES: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype(np.uint16),
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
}
"""Numeric type that the model computed in -> type of the datasets in a shard."""
Dtype = Annotated[str, Meta(pattern=rf"^({'|'.join(STORED_DTYPES)})\Z")]
"""One of `STORED_DTYPES`, in a JSON file."""
Count = Annotated[int, Meta(ge=0, lt=2**40)]
"""A number of layers, heads, rows or bytes, in a JSON file."""
Text = Annotated[str, Meta(min_length=1)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Facts = Mapping[str, Any]
"""What is recorded and compared, but not looked into."""


@dataclass(frozen=True, slots=True)
class LayerGrid:
    """The attention heads of one decoder layer that a store holds."""

    layer: Count
    """Position of the layer in the decoder, from 0."""
    heads: tuple[Count, ...]
    """Numbers of the heads present, ascending."""
    head_dim: Count
    """Width of one head's output."""


def grid_widths(grids: Iterable[LayerGrid]) -> dict[Head, int]:
    """Return the width of every head of a grid, layer by layer."""
    return {(grid.layer, head): grid.head_dim for grid in grids for head in grid.heads}


def head_name(head: Head) -> str:
    """Return the written form of a head.

    >>> head_name((12, 7)), head_name(neuron((12, 7), 5)), head_name(ANSWERS_HEAD)
    ('L12.H7', 'L12.H7.N5', 'answers')
    """
    if head == ANSWERS_HEAD:
        return "answers"
    layer, number = holder(head)
    return f"L{layer}.H{number}" + (f".N{head[1] % NEURONS}" if is_neuron(head) else "")


def neuron(head: Head, index: int) -> Head:
    """Return the address of one value of a head, which stands among heads as a head of width 1.

    It sorts by layer, head and index.

    >>> neuron((12, 7), 5)
    (12, 8000005)
    """
    return head[0], (head[1] + 1) * NEURONS + index


def is_neuron(head: Head) -> bool:
    """Return whether an address is that of a `neuron`."""
    return head[1] >= NEURONS


def holder(head: Head) -> Head:
    """Return the head that a neuron is a value of; a head as it is.

    >>> holder((12, 8000005)), holder((12, 7))
    ((12, 7), (12, 7))
    """
    return (head[0], head[1] // NEURONS - 1) if is_neuron(head) else head


def is_held(head: Head, widths: Mapping[Head, int]) -> bool:
    """Return whether a head, or a neuron of one, is among the heads that have these widths."""
    width = widths.get(holder(head))
    return width is not None and (not is_neuron(head) or head[1] % NEURONS < width)


def pick(
    values: np.ndarray[Any, Any], held: Sequence[Head], wanted: Sequence[Head], rows: Any = None
) -> np.ndarray[Any, Any]:
    """Return the features of some heads or neurons out of `(held, n, d)` ones, of some `rows`.

    `(wanted, rows, d)`, or `(wanted, rows, 1)` if all of them are neurons; a neuron's value is
    followed by zeros else. The heads of all `wanted` are among those `held`.
    """
    index = {head: place for place, head in enumerate(held)}
    places = np.array([index[holder(head)] for head in wanted])
    some = np.arange(values.shape[1]) if rows is None else rows
    alone = np.array([is_neuron(head) for head in wanted])
    if not alone.any():
        return values[places[:, None], some]
    columns = np.array([number % NEURONS for _, number in wanted])
    if alone.all():
        return values[places[:, None], some, columns[:, None]][..., None]
    picked = values[places[:, None], some]
    picked[alone, :, 0] = values[places[alone][:, None], some, columns[alone][:, None]]
    picked[alone, :, 1:] = 0
    return picked


_HEAD = re.compile(r"L(\d{1,6})\.H(\d{1,6})", re.ASCII)
_NEURON = re.compile(rf"{_HEAD.pattern}\.N(\d{{1,6}})", re.ASCII)


def parse_head(name: str) -> Head | None:
    """Return the head of a written form, None for other text.

    >>> parse_head("L12.H7"), parse_head("12.7")
    ((12, 7), None)
    """
    match = _HEAD.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def parse_address(name: str) -> Head | None:
    """Return the head or neuron of a written form, None for other text.

    >>> parse_address("L12.H7.N5"), parse_address("L12.H7"), parse_address("12.7")
    ((12, 8000005), (12, 7), None)
    """
    match = _NEURON.fullmatch(name)
    return neuron((int(match[1]), int(match[2])), int(match[3])) if match else parse_head(name)


def as_head(head: Any) -> Head:
    """Return a head that is a pair, or a name such as `L12.H7.N5`; HeadNotFoundError for others."""
    with suppress(TypeError, ValueError):
        named = parse_address(head) if isinstance(head, str) else None
        layer, number = named or head
        return int(layer), int(number)
    raise HeadNotFoundError(f"{head!r:.60} is no head; expected (layer, head), or a name as L12.H7")


def shard_name(split: str, number: int) -> str:
    """Return a shard's file name.

    >>> shard_name("train", 3)
    'train-00003.h5'
    """
    return f"{split}-{number:05d}.h5"


def layer_name(layer: int) -> str:
    """Return the name of a layer's dataset below `/layers`.

    >>> layer_name(12)
    '00012'
    """
    return f"{layer:05d}"


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(encoded(value)).hexdigest()


def encoded(value: Any) -> bytes:
    """Return the JSON whose digest is taken."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def decode_json(content: bytes) -> Any:
    """Decode JSON of anyone; ValueError if it is none, or deeper than `MAX_LEVELS` levels."""
    with suppress(RecursionError):
        value = msgspec.json.decode(content)
        if not is_too_deep(value):
            return value
    raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")


def to_float32(stored: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return stored values as float32; exact for all three types."""
    return as_numbers(stored, dtype).astype(np.float32, copy=False)


def as_numbers(stored: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Return a view of stored values in which the bits of bfloat16 are numbers."""
    return stored.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else stored
