"""The table that `savs sweep` prints: of draws, methods, depths, prompts, or over stores.

A column is there if the table has something to say in it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from savs.pipeline.cli.output import detail, print_table, say
from savs.pipeline.running.formatting import counted, percent, points, probability

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline.cli.method_formats import Cells

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]
"""Heading, and the cell of a row."""


def print_sweep(table: "pl.DataFrame", metric: str) -> None:
    """Print one metric of a sweep's summary, and what its columns mean."""
    is_depth, is_prompts = (_has(table, name) for name in ("max_layer", "prompt"))
    print_table(*sweep_cells(table, metric))
    if is_prompts:
        say(f"{counted(table['units'][0], 'training example')}, cross-validated")
    elif is_depth:
        say(
            f"the best {table['heads'][0]} heads of layers up to `max layer`; of decoder: the share"
            " of its layers, so of its parameters and FLOP, that savs classify then loads and runs"
        )
    else:
        say(
            f"chance {percent(table['chance'][0])}; SD over draws, intervals over draws and"
            " examples"
        )
        if (table["draws"] == 1).any():
            say(
                "one draw has no interval: it does not show how much draws differ; `savs evaluate`"
                " has the interval over test examples alone"
            )
    if _has(table, "difference"):
        _explain_differences(table, is_depth=is_depth, is_prompts=is_prompts)


def _explain_differences(table: "pl.DataFrame", *, is_depth: bool, is_prompts: bool) -> None:
    first = (
        "the first prompt"
        if is_prompts
        else f"layers up to {table['max_layer'].max()}"
        if is_depth
        else table["against"].drop_nulls()[0]
    )
    sources = "draws and examples" if table["draws"].max() != 1 else "examples"
    same = "draws and examples" if not is_prompts else "examples"
    say(
        f"difference: minus {first} on the same {same}, percentage points; intervals and p over"
        f" {sources}"
    )
    if count := table["p_holm"].count():
        detail(f"p (Holm): corrected for the {counted(count, 'row')} of the headline metric")
    if is_prompts:
        say(
            "the best of several prompts looks a little better than it is; `savs evaluate` tests it"
        )


def print_stores(table: "pl.DataFrame") -> None:
    """Print means over stores of different examples."""
    print_table(*store_cells(table))
    say(
        f"means over {table['stores'][0]} stores of the headline metric; difference: minus"
        f" {table['readout'][0]}, percentage points; intervals and p over stores"
    )
    say("win, loss: a store where the interval of the difference lies above, or below 0")


def _point_columns(table: "pl.DataFrame") -> list[Column]:
    """Return what tells the points of a table apart."""
    columns: list[Column] = []
    if _has(table, "prompt"):
        columns.append(("prompt", lambda row: row["prompt"]))
    columns.append(("readout", lambda row: row["readout"]))
    if not _has(table, "prompt"):
        columns.append(("shots", lambda row: "all" if row["shots"] is None else str(row["shots"])))
    columns.append(("heads", lambda row: str(row["heads"] or "-")))
    if _has(table, "max_layer"):
        columns.append(("max layer", lambda row: str(row["max_layer"])))
        columns.append(("of decoder (%)", lambda row: percent(row["share"])))
    return columns


def _interval(row: Row) -> str:
    return f"{percent(row['low'])} .. {percent(row['high'])}"


def _count(name: str) -> Callable[[Row], str]:
    return lambda row: "-" if row[name] is None else str(row[name])


_DIFFERENCE: Sequence[Column] = (
    ("difference", lambda row: points(row["difference"])),
    ("its interval", lambda row: "-" if row["difference"] is None else (
        f"{points(row['difference_low'])} .. {points(row['difference_high'])}"
    )),
    ("p", lambda row: probability(row["p"])),
    ("p (Holm)", lambda row: probability(row["p_holm"])),
)  # fmt: skip


def sweep_cells(table: "pl.DataFrame", metric: str) -> "Cells":
    """Return header and rows of one metric of a sweep's summary."""
    columns = [*_point_columns(table), (f"{metric} (%)", lambda row: percent(row["mean"]))]
    if _has(table, "sd") or not (_has(table, "max_layer") or _has(table, "prompt")):
        columns.append(("SD", lambda row: percent(row["sd"])))
        columns.append(("draws", lambda row: str(row["draws"])))
    columns.append(("95 % interval", _interval))
    if _has(table, "difference"):
        columns += _DIFFERENCE
    return _cells(table, columns)


def store_cells(table: "pl.DataFrame") -> "Cells":
    """Return header and rows of means over stores."""
    columns = [
        *_point_columns(table),
        ("mean (%)", lambda row: percent(row["mean"])),
        ("95 % interval", _interval),
        *_DIFFERENCE,
        *((name, _count(name)) for name in ("wins", "ties", "losses")),
    ]
    return _cells(table, columns)


def _cells(table: "pl.DataFrame", columns: Sequence[Column]) -> "Cells":
    rows = [[cell(row) for _, cell in columns] for row in table.iter_rows(named=True)]
    return [heading for heading, _ in columns], rows


def _has(table: "pl.DataFrame", name: str) -> bool:
    return table[name].count() > 0
