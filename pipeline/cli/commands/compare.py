"""`savs compare`: evaluations and sweeps on the same test examples, unit by unit."""

from pathlib import Path
from typing import Annotated

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import option, require_form
from savs.pipeline.cli.output import print_form, print_json, print_tables, say
from savs.pipeline.running.table import TABLE

EXAMPLES = (
    "savs compare pets/results/vote pets/results/lda",
    "savs compare pets/results/vote pets/results/lda --format markdown",
    "savs compare pets/results/sweep --format latex",
)


def compare_command(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT",
            help="Folders of results or sweeps, such as STORE/results/vote; the first is the"
            " baseline. One sweep alone is compared within itself.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        str | None, option(metavar="NAME", help="Compare only this metric (default: all).")
    ] = None,
    out: Annotated[
        Path | None, option(metavar="FILE.parquet", help="Also write the table to this file.")
    ] = None,
    form: Annotated[
        str,
        option(
            "--format",
            metavar="table|markdown|latex|csv",
            help="table of differences; the others print one row per result, or point of a sweep.",
        ),
    ] = TABLE,
    json: JsonOption = False,
) -> None:
    """Takes results on several test sets together; each set has its own baseline."""
    from savs.pipeline.evaluation.compare.compare import method_table
    from savs.pipeline.evaluation.tables import comparison_tables, methods_table
    from savs.pipeline.running.result_files import require_no_own_file, write_table

    if out is not None and out.suffix != ".parquet":
        raise typer.BadParameter(f"`out` is {out}, expected a name that ends in .parquet")
    require_form(form, as_json=json)
    if out is not None:
        require_no_own_file(out)
    make = savs.compare if form == TABLE else method_table
    table = make(results, metric=metric)
    if form != TABLE:
        print_form(methods_table(table), form)
    elif json:
        print_json(table.to_dicts())
    else:
        print_tables(comparison_tables(table))
    if out is not None:
        write_table(out, table)
        say(f"wrote {out}")
