"""`savs export`: features for other programs."""

from pathlib import Path
from typing import Annotated

from savs import pipeline
from savs.pipeline.cli.head_choice import CHOSEN, HeadsChoice, SelectionOption, find_heads, say_size
from savs.pipeline.cli.options.shared import JsonOption, StoreArgument, option
from savs.pipeline.names import EXPORT_FORMS


def export_command(
    store: StoreArgument,
    out: Annotated[Path, option("--out", metavar="FILE", help="Output file.")],
    to: Annotated[str, option(help=f"File format: {', '.join(EXPORT_FORMS)}.")] = "parquet",
    heads: HeadsChoice = CHOSEN,
    splits: Annotated[str, option(help="Splits to export: train, test or both.")] = "train,test",
    selection: SelectionOption = None,
    json: JsonOption = False,
) -> None:
    """Parquet is written shard by shard; npz and safetensors need memory for all features."""
    opened = pipeline.open_store(store)
    wanted = find_heads(opened, heads, selection)
    path = pipeline.export(opened, out, wanted, splits.split(","), to)
    say_size(path, path.stat().st_size, len(wanted), as_json=json)
