"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from pathlib import Path
from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.command import FORM, Command, Options, Own, require_form
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import visible
from savs.pipeline.running.options import Option

if TYPE_CHECKING:
    from savs.pipeline.evaluation.sweep.table import Sweep


def prepare(options: Options) -> Options:
    """Save by default; refuse what cannot be shown before it is measured."""
    require_form(options)
    if options["prompts"] and options["metric"] is not None:
        raise ParameterError("`metric` is about draws, which `prompts` does not use: omit it")
    if options["figure"] is not None:
        if options["prompts"] or options["max_layers"] is not None:
            raise ParameterError("`figure` shows shots and heads, not prompts or depths")
        from savs.pipeline.reports.report.curves import require_figure

        require_figure(Path(options["figure"]))
    return options | {"out": options["out"] or True}


def show(done: "Sweep", options: Options) -> Shown:
    """Word one metric of a sweep, by default the first, or the means over stores."""
    from savs.pipeline.evaluation.sweep.table import with_methods
    from savs.pipeline.evaluation.tables import stores_table, sweep_table

    metric, files = options["metric"], [str(path) for path in done.files]
    names = done.summary["metric"].unique(maintain_order=True).to_list()
    is_joined = done.summary["data_set"].n_unique() > 1
    if metric is not None and (is_joined or metric not in names):
        wrong = f"is {metric!r}, expected one of: {visible('; '.join(names))}"
        if is_joined:
            wrong = "is for stores of the same examples"
        raise ParameterError(f"`metric` {wrong}; the files have all: {', '.join(files)}")
    if is_joined:
        name, key, rows = "mean over stores", "stores", done.over_stores()
        table = stores_table(rows)
    else:
        name, key = metric or names[0], "summary"
        rows = done.summary.filter(metric=name)
        table = sweep_table(with_methods(rows), name)
    messages = [f"note: {note}" for note in done.notes]
    if options["figure"] is not None:
        from savs.pipeline.reports.report.curves import write_figure

        write_figure(Path(options["figure"]), table.frame, name)
        messages.insert(0, f"drew {options['figure']}")
    facts = {"files": files, key: rows.to_dicts(), "notes": done.notes}
    messages.append(f"wrote {', '.join(files)}")
    return Shown(facts=facts, data=[table], form=options["form"], messages=messages)


COMMAND = Command(
    function="savs.pipeline.evaluation.sweep.sweep:sweep",
    about="Draws few-shot sets from the training examples; all readouts get the same draws.",
    examples=(
        "savs sweep pets --heads 1,5,20,all --shots 1,4,16 --draws 5",
        "savs sweep pets --readout vote,lda",
        "savs sweep pets --max-layer each",
    ),
    own={
        "metric": Own(
            str | None,
            None,
            Option("Metric to print; the files have all (default: the first).", metavar="NAME"),
        ),
        "form": FORM,
        "figure": Own(
            str | None,
            None,
            Option("Also draw the curves over shots and heads.", metavar="FILE.svg"),
        ),
    },
    prepare=prepare,
    show=show,
)
