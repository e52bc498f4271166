"""What one shard shall hold, and the checks that it passes before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import FeatureValueError
from savs.stores.format.layout import (
    INDEX_COLUMN,
    OUTPUT_NAMES,
    REASON_COLUMN,
    STORED_DTYPES,
    TEXT_COLUMNS,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.text_columns import Columns

EXPONENTS: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "bfloat16": (np.uint16, 0x7F80),
    "float16": (np.uint16, 0x7C00),
    "float32": (np.uint32, 0x7F80_0000),
}
"""Numeric type -> how to view its bits, and the exponent that NaN and the infinities have."""


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one shard holds beside its name."""

    layers: Mapping[int, Array]
    """Layer -> `(heads, rows, head_dim)` in the stored type."""
    examples: Columns
    """One value a row, in the order of the features' rows."""
    skipped: Columns
    """The same columns for the examples that could not be read, with `reason`."""
    run: Mapping[str, Any]
    """What the writer records about itself."""
    outputs: Mapping[str, Array] = field(default_factory=dict)
    """`OUTPUT_NAMES` that the identity promises -> one row an example."""


def check_content(
    spec: ShardSpec, planned: Sequence[str], identity: Identity, content: ShardContent
) -> None:
    """Check that a content is that of a planned shard.

    Raises
    ------
    FeatureValueError
        Other rows, columns, outputs, shapes or types than planned.
    """
    _check_columns(spec, planned, content)
    ids = content.examples["id"]
    _check_outputs(spec, identity, content, len(ids))
    for grid in identity.grid:
        expected = (len(grid.heads), len(ids), grid.head_dim)
        dtype = STORED_DTYPES[identity.dtype]
        values = content.layers.get(grid.layer)
        if values is None or values.shape != expected or values.dtype != dtype:
            got = "missing" if values is None else f"{values.shape} {values.dtype}"
            raise FeatureValueError(
                f"{spec.name}: layer {grid.layer} is {got}, expected {expected} {dtype}"
            )


def check_finite(
    spec: ShardSpec, identity: Identity, layer: int, ids: Sequence[str], values: Array
) -> None:
    """Raise FeatureValueError where a layer holds NaN or infinity."""
    bits, exponent = EXPONENTS[identity.dtype]
    endless = (values.view(bits) & exponent) == exponent
    if endless.any():
        row = int(np.argmax(endless.any(axis=(0, 2))))
        raise FeatureValueError(
            f"{spec.name}: layer {layer} of example {ids[row]!r} holds NaN or infinity"
            f" in {identity.dtype}; run the model in the type it was trained in, or with"
            " --dtype float32"
        )


def _check_outputs(spec: ShardSpec, identity: Identity, content: ShardContent, rows: int) -> None:
    needed = set(OUTPUT_NAMES) & set(identity.outputs)
    lengths = {name: len(values) for name, values in content.outputs.items()}
    if lengths != dict.fromkeys(needed, rows):
        raise FeatureValueError(
            f"{spec.name}: outputs have lengths {lengths}, expected {sorted(needed)} of {rows} rows"
        )
    for name, values in content.outputs.items():
        if values.ndim != 2 or values.dtype != np.float32:
            raise FeatureValueError(
                f"{spec.name}: output {name} is {values.shape} {values.dtype}, expected"
                f" ({rows}, any) float32"
            )


def _check_columns(spec: ShardSpec, planned: Sequence[str], content: ShardContent) -> None:
    for what, columns in (("example", content.examples), ("skipped", content.skipped)):
        needed = {INDEX_COLUMN, *TEXT_COLUMNS} | ({REASON_COLUMN} if what == "skipped" else set())
        lengths = {name: len(values) for name, values in columns.items()}
        if needed - set(lengths) or len(set(lengths.values())) != 1:
            raise FeatureValueError(
                f"{spec.name}: the {what} columns have lengths {lengths}; give all of"
                f" {sorted(needed)}, equally long"
            )
    ids = sorted([*content.examples["id"], *content.skipped["id"]])
    if ids != sorted(planned[spec.start : spec.stop]):
        raise FeatureValueError(
            f"{spec.name}: {len(ids)} examples from {ids[:1]} on, planned are {spec.rows} from"
            f" {planned[spec.start]!r} on; write each shard with the rows planned for it"
        )
