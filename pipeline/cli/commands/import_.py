"""`savs import`: features that another program computed, as a store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import savs
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import option, setting
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.inputs.input_options import LabelKeywords
from savs.pipeline.running.formatting import counted

EXAMPLES = (
    "savs import features.npy --labels labels.csv --out own",
    "savs import features.parquet --model dinov2 --out own",
)


class RowKeywords(LabelKeywords, total=False):
    """The fields of `InputOptions` that are options of `savs import`."""

    columns: Mapping[str, str] | None
    media_root: str | Path | None
    allow_outside: bool


@expand_options
def import_command(
    features: Annotated[
        Path,
        typer.Argument(
            metavar="FEATURES",
            help=".npy, .safetensors or .parquet: examples x [layers x] heads x width.",
        ),
    ],
    out: Annotated[Path, option("--out", metavar="DIR", help="Folder of the new store.")],
    reading: RowKeywords,
    labels: Annotated[
        Path | None,
        option(
            "--labels",
            metavar="FILE",
            help="Rows with label, split, and what else general reads (default: the other columns"
            " of FEATURES, if it is Parquet).",
        ),
    ] = None,
    model: Annotated[
        str | None,
        option(metavar="NAME", help="What computed the features (default: the file's name)."),
    ] = None,
    split: Annotated[
        str | None,
        option(metavar="train|test|classes", help="Split of all rows (default: column split)."),
    ] = None,
    logit_scale: Annotated[
        float | None,
        setting(help="What a dual encoder multiplies cosines by, such as 100; for readout clip."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Matches rows by id if both files have it, otherwise by their order."""
    done = savs.import_features(
        features,
        labels,
        out=out,
        model=model,
        split=split,
        logit_scale=logit_scale,
        **reading,
    )
    rows = done.store.facts["planned"]
    if json:
        print_json({"store": str(done.store.path), "rows": rows, "notes": list(done.notes)})
    else:
        print_line(str(done.store.path))
    counts = " and ".join(f"{count:,} {name}" for name, count in rows.items())
    heads = len(done.store.heads)
    dtype = done.store.manifest.identity.dtype
    say(f"{counts} examples, {counted(heads, 'head')}, {dtype}")
    for line in done.notes:
        say(line)
