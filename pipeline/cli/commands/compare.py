"""`savs compare`: evaluations and sweeps on the same test examples, unit by unit."""

from typing import TYPE_CHECKING

from savs.pipeline.cli.command import FORM, Command, Options, require_form
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.table import TABLE

if TYPE_CHECKING:
    import polars as pl


def prepare(options: Options) -> Options:
    """Take the table of a row a result for papers."""
    require_form(options)
    return options | {"per_result": options["form"] != TABLE}


def show(table: "pl.DataFrame", options: Options) -> Shown:
    """Word differences, or a row a result."""
    from savs.pipeline.evaluation.tables import comparison_tables, methods_table

    form = options["form"]
    data = comparison_tables(table) if form == TABLE else [methods_table(table)]
    messages = [f"wrote {options['out']}"] if options["out"] else []
    return Shown(facts=table.to_dicts(), data=data, form=form, messages=messages)


COMMAND = Command(
    function="savs.pipeline.evaluation.compare.compare:compare",
    about="Takes results on several test sets together; each set has its own baseline.",
    examples=(
        "savs compare pets/results/vote pets/results/lda",
        "savs compare pets/results/vote pets/results/lda --format markdown",
        "savs compare pets/results/sweep --format latex",
    ),
    own={"form": FORM},
    prepare=prepare,
    show=show,
)
