"""`savs sweep --prompts`: the prompts of a store as a table and as a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs import pipeline
from savs.pipeline.cli.options.shared import result_place
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.cli.tables import DIFFERENCE_HEADER, compared_cells

if TYPE_CHECKING:
    import polars as pl

PROMPTS_FILE = "prompts.parquet"


def sweep_store_prompts(
    store: str,
    heads: Sequence[Any] | None,
    readouts: Sequence[str],
    scoring: str,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Compare the prompts of a store; print the table and write it to a folder of results."""
    from savs.stores.results import whole_result, write_table

    opened = pipeline.open_store(store)
    folder = result_place(opened, out, "prompts")
    found = pipeline.sweep_prompts(opened, heads=heads, readouts=readouts, scoring=scoring)
    path = folder / PROMPTS_FILE
    with whole_result(folder):
        write_table(path, found.table)
    if as_json:
        print_json({"files": [str(path)], "prompts": found.table.to_dicts(), "notes": found.notes})
    else:
        _print(found.table)
    for note in found.notes:
        say(f"note: {note}")
    say(f"wrote {path}")


def _print(table: "pl.DataFrame") -> None:
    rows = [
        [
            row["prompt"],
            row["readout"],
            str(row["heads"]),
            *compared_cells(row, "accuracy"),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(["prompt", "readout", "heads", "accuracy (%)", *DIFFERENCE_HEADER], rows)
    count = table["p_holm"].count()
    say(
        f"{table['examples'][0]:,} training examples; difference: minus the first prompt on"
        " the same examples, percentage points"
    )
    say(f"p (Holm): corrected for the {count:,} {'difference' if count == 1 else 'differences'}")
    say("the best of several prompts looks a little better than it is; `savs evaluate` tests it")
