"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

import savs
from savs.foundation.bounds import whole_number
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    ScoringOption,
    advanced,
    option,
    require_choice,
    result_place,
)
from savs.pipeline.cli.output import detail, print_json, print_line, print_table, say
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.running.formatting import counted, percent, points, probability, visible

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline.cli.method_formats import Cells
    from savs.pipeline.evaluation.sweep.table import Sweep
    from savs.stores import FeatureStore

EXAMPLES = (
    "savs sweep pets --heads 1,5,20,all --shots 1,4,16 --draws 5",
    "savs sweep pets --readout vote,lda",
    "savs sweep pets --max-layer each",
)
TABLE, JSON = "table", "json"
OF_TEST = ("shots", "draws", "seed", "metric", "benchmark", "max_layer")
"""Options that a sweep of prompts has no use for."""
EACH: Literal["each"] = "each"
ALL: Literal["all"] = "all"
Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]
"""Heading, and the cell of a row."""


class Show(NamedTuple):
    """How a sweep is shown, next to its files."""

    form: str
    """`TABLE`, `JSON`, or one of `FORMATS`."""
    figure: Path | None

    def print(self, table: "pl.DataFrame", cells_of: "Callable[[pl.DataFrame], Cells]") -> None:
        """Print a table in one of `FORMATS`."""
        from savs.pipeline.cli.method_formats import as_text

        print_line(as_text(table, self.form, cells_of).removesuffix("\n"), keep="\n")

    def draw(self, rows: "pl.DataFrame", metric: str) -> None:
        """Draw the figure, if one was asked for."""
        if self.figure is not None:
            from savs.pipeline.reports.report.curves import write_figure

            write_figure(self.figure, rows, metric)
            say(f"drew {self.figure}")


def sweep_command(
    context: typer.Context,
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Feature stores: folders or URLs. Of the same examples, readouts are compared over"
            " all stores; of different ones, the means over stores are printed.",
            show_default=False,
        ),
    ],
    heads: Annotated[
        str | None,
        option(
            metavar="N,N|all",
            help="Numbers of heads (default: those of 1,5,10,20,50,all that fit).",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        option(
            metavar="N,N|all",
            help="Examples per class (default: those of 1,2,4,8,16 that fit, and all).",
        ),
    ] = None,
    readout: Annotated[
        str,
        option(
            metavar="NAME,NAME",
            help="Readouts, see `savs select --readout`, and zero-shot, icl, generated; STORE:NAME"
            " is that of one store. The others are compared with the first.",
        ),
    ] = "vote",
    draws: Annotated[
        int, option(min=1, help="Random draws for each number of shots.")
    ] = DEFAULT_DRAWS,
    prompts: Annotated[
        bool,
        option("--prompts", help="Compare the prompts of a store, cross-validated on training."),
    ] = False,
    max_layer: Annotated[
        str | None,
        option(
            metavar="N,N|each",
            help="Measure depth instead: the best heads of layers up to each N, or each layer.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Output folder (default: STORE/results/sweep, depth or prompts; needed for several"
            " stores).",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        option(metavar="NAME", help="Metric to print; the files have all (default: the first)."),
    ] = None,
    form: Annotated[
        str,
        option("--format", metavar="table|markdown|latex|csv", help="How to print the table."),
    ] = TABLE,
    figure: Annotated[
        Path | None,
        option(metavar="FILE.svg", help="Also draw the curves over shots and heads."),
    ] = None,
    seed: Annotated[int, advanced(help="Seed of the random draw of training examples.")] = 0,
    scoring: ScoringOption = None,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Draws few-shot sets from the training examples; all readouts get the same draws."""
    from savs.pipeline.cli.method_formats import FORMATS

    require_choice("form", form, (TABLE, *FORMATS))
    if form != TABLE and json:
        raise typer.BadParameter("--format and --json are two ways to print; pass one")
    if figure is not None:
        if prompts or max_layer is not None:
            raise typer.BadParameter("`figure` shows shots and heads, not prompts or depths")
        from savs.pipeline.reports.report.curves import require_figure

        require_figure(figure)
    show = Show(JSON if json else form, figure)
    if prompts:
        _require_none_of(context, *OF_TEST)
    if len(stores) > 1 and (prompts or max_layer is not None):
        name = "prompts" if prompts else "max_layer"
        raise typer.BadParameter(f"`{name}` compares within one store, {len(stores)} given")
    if len(stores) > 1 and out is None:
        raise typer.BadParameter("a sweep of several stores needs a folder; pass --out DIR")
    measure = partial(
        savs.sweep,
        heads=_counts("heads", heads),
        shots=_counts("shots", shots),
        draws=draws,
        readouts=readout.split(","),
        scoring=scoring or "resubstitution",
        seed=seed,
        benchmark=benchmark,
        max_layers=None if max_layer is None else _depths(max_layer),
        prompts=prompts,
    )
    opened = _open_all(stores)
    if out is not None and len(opened) > 1 and not _hold_same_test(opened, metric):
        _sweep_each(opened, measure, out, show)
        return
    name = "prompts" if prompts else "sweep" if max_layer is None else "depth"
    folder = result_place(next(iter(opened.values())), out, name)
    _write(measure(opened), folder, metric, show)


def _open_all(stores: list[str]) -> dict[str, "FeatureStore"]:
    """Return short name -> store."""
    from savs.pipeline.evaluation.compare.result_folders import short_names

    names = [name.replace("/", "-") for name in short_names([Path(store) for store in stores])]
    if len(set(names)) < len(names):
        raise typer.BadParameter("a store is given twice, expected each once")
    return {n: savs.open_store(store) for n, store in zip(names, stores, strict=True)}


def _require_none_of(context: typer.Context, *names: str) -> None:
    """Raise a usage error for an option that --prompts does not use."""
    for name in names:
        if str(getattr(context.get_parameter_source(name), "name", "DEFAULT")) != "DEFAULT":
            raise typer.BadParameter(
                f"`{name}` is about draws and test examples, which --prompts does not use: omit it"
            )


def _hold_same_test(stores: dict[str, "FeatureStore"], metric: str | None) -> bool:
    """Return whether stores hold the same test examples, so that their readouts are compared."""
    from savs.pipeline.evaluation.sweep.shared_examples import hold_same_test

    is_same, apart = hold_same_test(list(stores.values()))
    if not is_same and metric is not None:
        raise typer.BadParameter(
            f"--metric is for stores of the same examples; these differ: {visible(apart)}"
        )
    if not is_same:
        say(f"the stores hold different test examples: {apart}")
    return is_same


def _write(sweep: "Sweep", folder: Path, metric: str | None, show: Show) -> None:
    """Write a sweep, and print one metric of it, by default the first.

    What a benchmark measures is known when it has measured, so the files are written before an
    unknown metric is refused.
    """
    from savs.pipeline.evaluation.sweep.table import SUMMARY_FILE, save_sweep, with_methods

    if (folder / SUMMARY_FILE).exists():
        say(f"the earlier sweep in {folder} is replaced; pass --out DIR to keep both")
    files = save_sweep(sweep, folder)
    names = sweep.summary["metric"].unique(maintain_order=True).to_list()
    if metric not in (None, *names):
        raise typer.BadParameter(
            f"--metric is {metric!r}, expected one of: {visible('; '.join(names))}; the files have"
            f" all: {', '.join(map(str, files))}"
        )
    name = metric or names[0]
    table = sweep.summary.filter(metric=name)
    if show.form == JSON:
        paths = [str(path) for path in files]
        print_json({"files": paths, "summary": table.to_dicts(), "notes": sweep.notes})
    elif show.form == TABLE:
        _print_sweep(with_methods(table), name)
    else:
        show.print(with_methods(table), partial(_sweep_cells, metric=name))
    show.draw(with_methods(table), name)
    for note in sweep.notes:
        say(f"note: {note}")
    say(f"wrote {', '.join(map(str, files))}")


def _sweep_each(
    stores: dict[str, "FeatureStore"],
    measure: Callable[[dict[str, "FeatureStore"]], "Sweep"],
    out: Path,
    show: Show,
) -> None:
    """Sweep stores of different examples one after the other, and print means over them."""
    from savs.pipeline.evaluation.sweep.table import join_sweeps, save_sweep

    sweeps = {}
    for name, store in stores.items():
        sweeps[name] = measure({name: store})
        say(f"swept {store.path}")
    joined = join_sweeps(sweeps)
    files, table = save_sweep(joined, out), joined.over_stores()
    if show.form == JSON:
        print_json({"files": [str(path) for path in files], "stores": table.to_dicts()})
    elif show.form == TABLE:
        _print_stores(table)
    else:
        show.print(table, _store_cells)
    show.draw(table, "mean over stores")
    for note in joined.notes:
        say(f"note: {note}")
    say(f"wrote {', '.join(map(str, files))}")


def _depths(text: str) -> list[int] | Literal["each"]:
    """Return numbers of layers, or `each`; a usage error otherwise."""
    if text == EACH:
        return EACH
    layers = [whole_number(part) for part in text.split(",")]
    known = [layer for layer in layers if layer is not None]
    if len(known) < len(layers):
        raise typer.BadParameter(
            f"`max_layer` is {text!r:.50}, expected layers counted from 0, such as 7,13,20, or"
            f" {EACH}"
        )
    return known


def _counts(name: str, text: str | None) -> list[int | Literal["all"]] | None:
    """Return the numbers of a list such as `1,5,all`; a usage error otherwise."""
    if text is None:
        return None
    counts: list[int | Literal["all"]] = []
    for part in text.split(","):
        count = ALL if part == ALL else whole_number(part)
        if not count:
            raise typer.BadParameter(
                f"`{name}` has {part!r:.50}, expected positive integers or all, such as 1,4,20,all"
            )
        counts.append(count)
    return counts


def _print_sweep(table: "pl.DataFrame", metric: str) -> None:
    is_depth, is_prompts = (_has(table, name) for name in ("max_layer", "prompt"))
    print_table(*_sweep_cells(table, metric))
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


def _print_stores(table: "pl.DataFrame") -> None:
    print_table(*_store_cells(table))
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


def _sweep_cells(table: "pl.DataFrame", metric: str) -> "Cells":
    """Return header and rows of one metric of a sweep's summary.

    A column is there if the table has something to say in it.
    """
    columns = [*_point_columns(table), (f"{metric} (%)", lambda row: percent(row["mean"]))]
    if _has(table, "sd") or not (_has(table, "max_layer") or _has(table, "prompt")):
        columns.append(("SD", lambda row: percent(row["sd"])))
        columns.append(("draws", lambda row: str(row["draws"])))
    columns.append(("95 % interval", _interval))
    if _has(table, "difference"):
        columns += _DIFFERENCE
    return _cells(table, columns)


def _store_cells(table: "pl.DataFrame") -> "Cells":
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
