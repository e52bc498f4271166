"""`savs query`: SQL over a store."""

import shutil
from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.command import Command, Options, Own
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.options import Option
from savs.pipeline.running.table import TABLE

if TYPE_CHECKING:
    import polars as pl

ROWS_SHOWN = 50
LONGEST, SHORTER = 60, 24
"""Most characters of a text where all columns have room on the screen, and where not."""
FORMS = (TABLE, "csv")


def prepare(options: Options) -> Options:
    """Refuse another form."""
    if options["form"] not in FORMS:
        raise ParameterError(f"`form` is {options['form']!r}, expected one of {', '.join(FORMS)}")
    if options["form"] == "csv" and options["json"]:
        raise ParameterError("--format csv and --json are two ways to print; pass one")
    return options


def show(table: "pl.DataFrame", options: Options) -> Shown:
    """Print rows, as far as the screen has room, or all as CSV."""
    from savs.pipeline.running.output_files import cells_of_lists

    if options["form"] == "csv":
        return Shown(facts=None, data=[cells_of_lists(table).write_csv().encode("utf-8")])
    text, left_out = _on_screen(table, shutil.get_terminal_size().columns)
    more = f", the first and last {ROWS_SHOWN // 2} shown" if table.height > ROWS_SHOWN else ""
    messages = [f"{counted(table.height, 'row')}{more}"]
    if left_out:
        messages.append(
            f"{counted(left_out, 'column')} left out to fit the screen; SELECT fewer, or see all"
            " with --format csv or --json"
        )
    is_data = options["json"]  # then all rows and columns are there
    return Shown(facts=table.to_dicts(), data=[text], messages=[] if is_data else messages)


def _on_screen(table: "pl.DataFrame", columns: int) -> tuple[str, int]:
    """Return the first columns that a screen has room for, as text, and how many are left out."""
    whole = _text(table, LONGEST)
    if not table.width or _width(whole) <= columns:
        return whole, 0
    text, count = _text(table[:, :1], SHORTER), 1
    for more in range(2, table.width + 1):
        wider = _text(table[:, :more], SHORTER)
        if _width(wider) > columns:
            break
        text, count = wider, more
    return text, table.width - count


def _text(table: "pl.DataFrame", longest: int) -> str:
    import polars as pl

    with pl.Config(
        tbl_rows=ROWS_SHOWN,
        tbl_cols=-1,
        tbl_width_chars=-1,
        fmt_str_lengths=longest,
        tbl_hide_dataframe_shape=True,
    ):
        return str(table)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


COMMAND = Command(
    function="savs.pipeline.evaluation.query:query",
    about='Heads are columns of examples, such as "L12.H7". Reads only the heads in the query.',
    examples=(
        'savs query pets "SELECT label, count(*) AS n FROM examples GROUP BY label"',
        'savs query pets "SELECT id, prediction FROM predictions WHERE NOT correct" --format csv',
    ),
    own={
        "form": Own(str, TABLE, Option("How rows are printed.", metavar="table|csv", name="format"))
    },
    prepare=prepare,
    show=show,
)
