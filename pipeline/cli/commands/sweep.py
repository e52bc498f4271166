"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

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
from savs.pipeline.cli.output import print_json, print_line, say, visible
from savs.pipeline.cli.sweep_table import print_stores, print_sweep, store_cells, sweep_cells
from savs.pipeline.names import DEFAULT_DRAWS

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
        print_sweep(with_methods(table), name)
    else:
        show.print(with_methods(table), partial(sweep_cells, metric=name))
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
        print_stores(table)
    else:
        show.print(table, store_cells)
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
