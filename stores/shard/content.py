"""The content of one shard, and its checks before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from savs.foundation.arrays import Array
from savs.stores.errors import FeatureValueError
from savs.stores.format.layout import (
    EXAMPLE_COLUMNS,
    OUTPUT_TYPES,
    REASON_COLUMN,
    STORED_DTYPES,
    THUMBNAIL_COLUMN,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.finite import endless_row
from savs.stores.shard.text_columns import Columns


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one shard holds."""

    layers: Mapping[int, Array]
    """Layer -> `(heads, rows, head_dim)` in the stored type."""
    examples: Columns
    """One value a row, in the order of the features' rows."""
    skipped: Columns
    """The same columns for the examples that could not be read, with `reason`."""
    run: Mapping[str, Any]
    """What the writer records about itself."""
    outputs: Mapping[str, Array] = field(default_factory=dict)
    """Name of each output that the identity lists -> one row an example, of `OUTPUT_TYPES`."""


def check_content(
    spec: ShardSpec, planned: Sequence[str], identity: Identity, content: ShardContent
) -> None:
    """Check that a content fits a planned shard, whose rows have the ids `planned`.

    Raises
    ------
    FeatureValueError
        Rows, columns, outputs, shapes or types are not as planned, or values are not finite.
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
        _check_finite(spec, identity, grid.layer, ids, values)


def _check_finite(
    spec: ShardSpec, identity: Identity, layer: int, ids: Sequence[str], values: Array
) -> None:
    """Raise FeatureValueError where a layer holds NaN or infinity."""
    row = endless_row(values, identity.dtype)
    if row is not None:
        raise FeatureValueError(
            f"{spec.name}: layer {layer} of example {ids[row]!r} holds NaN or infinity"
            f" in {identity.dtype}; use the dtype that the model was trained in, or --dtype float32"
        )


def _check_outputs(spec: ShardSpec, identity: Identity, content: ShardContent, rows: int) -> None:
    lengths = {name: len(values) for name, values in content.outputs.items()}
    if lengths != dict.fromkeys(identity.outputs, rows):
        raise FeatureValueError(
            f"{spec.name}: outputs have lengths {lengths}, expected {sorted(identity.outputs)} of"
            f" {rows} rows"
        )
    for name, values in content.outputs.items():
        if values.dtype.str not in OUTPUT_TYPES:
            raise FeatureValueError(
                f"{spec.name}: output {name} is {values.dtype}, expected float32 or int32"
            )


def _check_columns(spec: ShardSpec, planned: Sequence[str], content: ShardContent) -> None:
    for what, columns in (("example", content.examples), ("skipped", content.skipped)):
        needed = {*EXAMPLE_COLUMNS} | ({REASON_COLUMN} if what == "skipped" else set())
        lengths = {name: len(values) for name, values in columns.items()}
        known = needed <= set(lengths) <= needed | {THUMBNAIL_COLUMN}
        if not known or len(set(lengths.values())) != 1:
            raise FeatureValueError(
                f"{spec.name}: the {what} columns have lengths {lengths}, expected all of"
                f" {sorted(needed)}, equally long, and no others except {THUMBNAIL_COLUMN}"
            )
    strange = {*content.examples["split"], *content.skipped["split"]} - {spec.split}
    if strange:
        raise FeatureValueError(
            f"{spec.name}: examples are of split {min(map(str, strange))!r}, expected"
            f" {spec.split!r}"
        )
    ids = sorted([*content.examples["id"], *content.skipped["id"]])
    if ids != sorted(planned):
        raise FeatureValueError(
            f"{spec.name}: {len(ids)} examples from {ids[:1]} on, expected {spec.rows} from"
            f" {planned[0]!r} on; write each shard with its planned rows"
        )
