"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from typing import TYPE_CHECKING

from savs.pipeline.cli.command import FORM, Command, Options, require_form, save_by_default
from savs.pipeline.cli.output import Shown

if TYPE_CHECKING:
    from savs.pipeline.evaluation.sweep.table import Sweep

FIGURE = "curves.svg"
"""Next to the tables of a sweep: one metric over shots and heads."""


def prepare(options: Options) -> Options:
    """Save by default."""
    require_form(options)
    return save_by_default(options)


def show(done: "Sweep", options: Options) -> Shown:
    """Word the first metric of a sweep, or the means over stores."""
    from savs.pipeline.evaluation.sweep.table import with_methods
    from savs.pipeline.evaluation.tables import stores_table, sweep_table

    files = [str(path) for path in done.files]
    if done.summary["data_set"].n_unique() > 1:
        name, key, rows = "mean over stores", "stores", done.over_stores()
        table = stores_table(rows)
    else:
        name, key = done.summary["metric"].item(0), "summary"
        rows = done.summary.filter(metric=name)
        table = sweep_table(with_methods(rows), name)
    messages = [f"note: {note}" for note in done.notes]
    if not options["prompts"] and options["max_layers"] is None:
        from savs.pipeline.reports.report.curves import draw_figure

        if draw_figure(figure := done.files[0].parent / FIGURE, table.frame, name):
            files.append(str(figure))
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
    own={"form": FORM},
    prepare=prepare,
    show=show,
)
