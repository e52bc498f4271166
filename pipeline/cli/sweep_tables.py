"""The tables that `savs sweep` prints."""

from typing import TYPE_CHECKING, Any

from savs.pipeline.cli.output import print_table, say
from savs.pipeline.cli.tables import DIFFERENCE_HEADER, compared_cells
from savs.pipeline.running.formatting import percent, points, probability

if TYPE_CHECKING:
    import polars as pl


def print_summary(table: "pl.DataFrame", metric: str) -> None:
    """Print the means over draws of a metric."""
    header = ["readout", "shots", "heads", f"{metric} (%)", "SD", "95 % interval", "draws"]
    rows = [
        [
            *_point(row),
            percent(row["mean"]),
            percent(row["sd"]),
            f"{percent(row['low'])} .. {percent(row['high'])}",
            str(row["draws"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(f"chance {percent(table['chance'][0])}; SD over draws, intervals over draws and examples")
    if (table["draws"] == 1).any():
        say(
            "one draw has no interval: it does not show how much draws differ; `savs evaluate` has"
            " the interval over test examples alone"
        )


def print_differences(table: "pl.DataFrame") -> None:
    """Print each readout minus the first one."""
    header = ["readout", "shots", "heads", "difference", "95 % interval", "p", "p (Holm)"]
    rows = [
        [
            *_point(row | {"readout": row["b"]}),
            points(row["difference"]),
            f"{points(row['low'])} .. {points(row['high'])}",
            probability(row["p"]),
            probability(row["p_holm"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(f"difference: minus {table['a'][0]} on the same draws and examples, percentage points")
    if count := table["p_holm"].count():
        say(f"p (Holm): corrected for the {count:,} rows of the headline metric")


def print_stores(table: "pl.DataFrame") -> None:
    """Print means over stores of different examples."""
    header = ["readout", "shots", "heads", "mean (%)", *DIFFERENCE_HEADER, "wins", "ties", "losses"]
    rows = [
        [
            *_point(row),
            *compared_cells(row, "mean"),
            *("-" if row[name] is None else str(row[name]) for name in ("wins", "ties", "losses")),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(
        f"means over {table['stores'][0]} stores of the headline metric; difference: minus"
        f" {table['readout'][0]}, percentage points; intervals and p over stores"
    )
    say("win, loss: a store where the interval of the difference lies above, or below 0")


def _point(row: dict[str, Any]) -> list[str]:
    shots = "all" if row["shots"] is None else str(row["shots"])
    return [row["readout"], shots, str(row["heads"] or "-")]
