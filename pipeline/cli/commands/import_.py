"""`savs import`: features that another program computed, as a store."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.inputs.input_options import LabelKeywords
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.inputs.importing import Imported


class RowKeywords(LabelKeywords, total=False):
    """The fields of `InputOptions` that are options of `savs import`."""

    columns: Mapping[str, str] | None
    media_root: str | Path | None


def show(done: "Imported", _: Options) -> Shown:
    """Word the new store."""
    rows, store = done.store.facts["planned"], done.store
    counts = " and ".join(f"{count:,} {name}" for name, count in rows.items())
    heads, dtype = counted(len(store.heads), "head"), store.manifest.identity.dtype
    return Shown(
        facts={"store": str(store.path), "rows": rows, "notes": list(done.notes)},
        data=[str(store.path)],
        messages=[f"{counts} examples, {heads}, {dtype}", *done.notes],
    )


COMMAND = Command(
    function="savs.pipeline.inputs.importing:import_features",
    about="Matches rows by id if both files have it, otherwise by their order.",
    examples=(
        "savs import features.npy --labels labels.csv --out own",
        "savs import features.parquet --model dinov2 --out own",
    ),
    kinds=(RowKeywords,),
    show=show,
)
