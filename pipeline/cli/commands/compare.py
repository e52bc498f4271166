"""`savs compare`: methods of stores, evaluations and sweeps on the same examples, unit by unit."""

from typing import TYPE_CHECKING

from savs.foundation.errors import command
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
    """Word differences, or a row a result; of stores also which method to take."""
    from savs.pipeline.evaluation.compare.store_methods import which_to_take
    from savs.pipeline.evaluation.tables import comparison_tables, methods_table

    form, of_stores = options["form"], "method" in table.columns
    data = [methods_table(table)] if of_stores else comparison_tables(table)
    messages = []
    if of_stores and form == TABLE and table["difference"].null_count() == 1:
        messages.append(which_to_take(table))
        if table["model"].n_unique() == 1:
            compare = command("savs", "compare", *options["results"], "OTHER")
            messages.append(
                "next: CLIP or an embedder on the same examples: savs extract them with another"
                f" --model and --out OTHER, then {compare}"
            )
    return Shown(facts=table.to_dicts(), data=data, form=form, messages=messages)


COMMAND = Command(
    function="savs.pipeline.evaluation.compare.compare:compare",
    about="Takes results on several test sets together; each set has its own baseline.",
    examples=(
        "savs compare pets",
        "savs compare pets/results/vote pets/results/lda",
        "savs compare pets/results/vote pets/results/lda --format markdown",
        "savs compare pets/results/sweep --format latex",
    ),
    own={"form": FORM},
    prepare=prepare,
    show=show,
)
