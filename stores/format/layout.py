"""Format 1 of the feature store: every name, shape and version, in one place.

A store is a folder::

    store.json                          identity, plan, runs and, once sealed, the shard list
    train-00000.h5  test-00000.h5 ...   shards, immutable once they bear their final name
    writer-0.lock                       held by the process that writes as rank 0
    results/<name>/                     what stage 2 made of the features

A shard is an HDF5 file that may begin with a header (`header.py`)::

    /                      attributes: SHARD_ATTRIBUTES
    /layers/00012          (heads, rows, head_dim), contiguous; attributes `heads`, `crc32`
    /examples/index        (rows,) int64, position in the input file
    /examples/<column>     group: `bytes` uint8, `offsets` (rows + 1,) int64, `valid` (rows,) uint8
    /outputs/<name>        optional, (rows, ...) float32, attribute `crc32`: OUTPUT_NAMES
    /skipped/...           the same columns for examples that could not be read, and `reason`

bfloat16 is stored as its bits in uint16, because HDF5 has no such type; the root attribute `dtype`
says how to view them.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

FORMAT = 1
"""Version of everything described here. A reader refuses any other."""

MANIFEST = "store.json"
RESULTS = "results"
LAYERS = "layers"
EXAMPLES = "examples"
OUTPUTS = "outputs"
SKIPPED = "skipped"

SHARD_ATTRIBUTES = (
    "format",  # int, FORMAT
    "split",  # train or test
    "number",  # int, counts the shards of a split from 0
    "plan",  # digest of the planned examples of this shard
    "identity",  # digest of the store's identity
    "dtype",  # bfloat16, float16 or float32
    "run",  # JSON: what the writer recorded about itself
)

OUTPUT_NAMES = (
    "answers",  # (rows, answer tokens) float32, logits of the tokens that the identity lists
)
"""What a store may keep of the last position beside the heads."""

SPLITS = ("train", "test")
DEFAULT_SHARD_ROWS = 256

TEXT_COLUMNS = (
    "id",
    "split",
    "label",
    "group",
    "subtask",
    "category",
    "prompt",
    "media",  # JSON list of names, as the input file gives them
    "media_sha256",  # JSON list, one digest a medium
    "extra",  # JSON object of the columns that the benchmark does not know
)
INDEX_COLUMN = "index"
REASON_COLUMN = "reason"
THUMBNAIL_COLUMN = "thumbnail"
"""Optional bytes column: a JPEG of at most 192 px a side, of the example's first image."""
THUMBNAIL_PX = 192

Head = tuple[int, int]
"""`(layer, head)`, both counted from 0 in the language model's decoder."""

STORED_DTYPES: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype(np.uint16),
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
}
"""Numeric type that the model computed in -> type of the datasets in a shard."""


@dataclass(frozen=True, slots=True)
class LayerGrid:
    """The attention heads of one decoder layer that a store holds."""

    layer: int
    """Position of the layer in the decoder, from 0."""
    heads: tuple[int, ...]
    """Numbers of the heads present, ascending."""
    head_dim: int
    """Width of one head's output."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that store.json holds."""
        return {"layer": self.layer, "heads": list(self.heads), "head_dim": self.head_dim}


def head_name(head: Head) -> str:
    """Return the written form of a head.

    >>> head_name((12, 7))
    'L12.H7'
    """
    return f"L{head[0]}.H{head[1]}"


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
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def to_float32(stored: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return stored values as float32; exact for all three types."""
    values = stored.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else stored
    return values.astype(np.float32, copy=False)
