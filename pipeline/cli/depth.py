"""`savs sweep --max-layers`: its option, and its table."""

from typing import TYPE_CHECKING

import typer

from savs.pipeline.cli.output import print_table, say
from savs.pipeline.cli.tables import DIFFERENCE_HEADER, compared_cells
from savs.pipeline.running.formatting import percent

if TYPE_CHECKING:
    import polars as pl

EACH = "each"


def parse_depths(text: str) -> list[int] | None:
    """Return numbers of layers, None for each; a usage error otherwise."""
    if text == EACH:
        return None
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(
            f"--max-layers is {text!r}, expected layers counted from 0, such as 7,13,20, or {EACH}"
        )
    return [int(part) for part in parts]


def print_depth(table: "pl.DataFrame", metric: str) -> None:
    """Print the metric of each depth and its difference to the whole one."""
    rows = [
        [
            row["readout"],
            "all" if row["shots"] is None else str(row["shots"]),
            str(row["max_layer"]),
            percent(row["share"]),
            *compared_cells(row, "mean"),
        ]
        for row in table.iter_rows(named=True)
    ]
    header = [
        "readout",
        "shots",
        "max layer",
        "of decoder (%)",
        f"{metric} (%)",
        *DIFFERENCE_HEADER,
    ]
    print_table(header, rows)
    over = "test examples" if table["draws"].max() == 1 else "draws and test examples"
    say(
        f"the best {table['heads'][0]} heads of layers up to `max layer`; of decoder: the share of"
        " its layers, so of its parameters and FLOP, that savs classify then loads and runs"
    )
    say(f"difference: minus the last layer on the same examples; intervals and p over {over}")
