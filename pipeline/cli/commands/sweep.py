"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import savs
from savs.foundation.bounds import whole_number
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    ScoringOption,
    advanced,
    option,
    require_form,
    result_place,
)
from savs.pipeline.cli.output import print_form, print_json, say
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.running.formatting import visible
from savs.pipeline.running.table import TABLE

if TYPE_CHECKING:
    from savs.pipeline.evaluation.sweep.table import Sweep
    from savs.stores import FeatureStore

EXAMPLES = (
    "savs sweep pets --heads 1,5,20,all --shots 1,4,16 --draws 5",
    "savs sweep pets --readout vote,lda",
    "savs sweep pets --max-layer each",
)
OF_TEST = ("shots", "draws", "seed", "metric", "benchmark", "max_layer")
"""Options that a sweep of prompts has no use for."""
EACH: Literal["each"] = "each"
ALL: Literal["all"] = "all"


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
        str | None,
        option(
            metavar="NAME,NAME",
            help="Readouts, see `savs select --readout`, and zero-shot, icl, generated; STORE:NAME"
            " is that of one store. The others are compared with the first (default: vote; of"
            " numbers ridge).",
        ),
    ] = None,
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
    require_form(form, as_json=json)
    if figure is not None:
        if prompts or max_layer is not None:
            raise typer.BadParameter("`figure` shows shots and heads, not prompts or depths")
        from savs.pipeline.reports.report.curves import require_figure

        require_figure(figure)
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
        readouts=None if readout is None else readout.split(","),
        scoring=scoring,
        seed=seed,
        benchmark=benchmark,
        max_layers=None if max_layer is None else _depths(max_layer),
        prompts=prompts,
    )
    opened = _open_all(stores)
    if out is not None and len(opened) > 1 and not _hold_same_test(opened, metric):
        from savs.pipeline.evaluation.sweep.table import join_sweeps

        sweeps = {}
        for store_name, store in opened.items():
            sweeps[store_name] = measure({store_name: store})
            say(f"swept {store.path}")
        sweep, folder = join_sweeps(sweeps), out
    else:
        name = "prompts" if prompts else "sweep" if max_layer is None else "depth"
        folder = result_place(next(iter(opened.values())), out, name)  # before it takes long
        sweep = measure(opened)
    _write(sweep, folder, metric, form=form, figure=figure, as_json=json)


def _open_all(stores: list[str]) -> dict[str, "FeatureStore"]:
    """Return short name -> store."""
    from savs.pipeline.evaluation.compare.trial_sets import short_names

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
    odd = None if is_same else next((s for s in stores.values() if not _has_mean(s)), None)
    if odd is not None:
        raise typer.BadParameter(
            f"{visible(str(odd.path))} has numbers, whose errors have no mean over stores of"
            " different examples; sweep each by itself"
        )
    if not is_same and metric is not None:
        raise typer.BadParameter(
            f"--metric is for stores of the same examples; these differ: {visible(apart)}"
        )
    if not is_same:
        say(f"the stores hold different test examples: {apart}")
    return is_same


def _has_mean(store: "FeatureStore") -> bool:
    from savs.pipeline.targets import target_of

    return target_of(store.manifest.identity.benchmark).has_mean_over_data_sets


def _write(
    sweep: "Sweep",
    folder: Path,
    metric: str | None,
    *,
    form: str,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Write a sweep, and print one metric of it, by default the first, or the means over stores.

    What a benchmark measures is known when it has measured, so the files are written before an
    unknown metric is refused.
    """
    from savs.pipeline.evaluation.sweep.table import SUMMARY_FILE, save_sweep, with_methods
    from savs.pipeline.evaluation.tables import stores_table, sweep_table

    is_joined = sweep.summary["data_set"].n_unique() > 1
    if (folder / SUMMARY_FILE).exists():
        say(f"the earlier sweep in {folder} is replaced; pass --out DIR to keep both")
    files = save_sweep(sweep, folder)
    names = sweep.summary["metric"].unique(maintain_order=True).to_list()
    if metric not in (None, *names):
        raise typer.BadParameter(
            f"--metric is {metric!r}, expected one of: {visible('; '.join(names))}; the files have"
            f" all: {', '.join(map(str, files))}"
        )
    if is_joined:
        name, rows = "mean over stores", sweep.over_stores()
        table = stores_table(rows)
    else:
        name = metric or names[0]
        rows = sweep.summary.filter(metric=name)
        table = sweep_table(with_methods(rows), name)
    if as_json:
        paths = [str(path) for path in files]
        facts = {"stores": rows.to_dicts()} if is_joined else {"summary": rows.to_dicts()}
        print_json({"files": paths, **facts, "notes": sweep.notes})
    else:
        print_form(table, form)
    if figure is not None:
        from savs.pipeline.reports.report.curves import write_figure

        write_figure(figure, table.frame, name)
        say(f"drew {figure}")
    for note in sweep.notes:
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
