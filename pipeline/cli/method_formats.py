"""A table of methods as text: Markdown, LaTeX with booktabs, CSV."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from savs.pipeline.evaluation.compare.compare import repeated
from savs.pipeline.running.formatting import percent, points, probability

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",  # these three are other signs in the default encoding of fonts
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_RANGE = re.compile(r"(?<=\d) \.\. (?=[-+\d])")


def to_markdown(table: pl.DataFrame) -> str:
    """Return a table of methods, see `method_table`, in Markdown.

    Shares are in per cent, differences in percentage points.
    """
    header, rows = _cells(table)
    kinds = [" --- " if text else " ---: " for text in _is_text(header)]
    lines = [_line(header), f"|{'|'.join(kinds)}|", *map(_line, rows)]
    return "\n".join(lines) + "\n"


def to_latex(table: pl.DataFrame) -> str:
    """Return a table of methods in LaTeX; it needs the package booktabs.

    A minus is one, not a hyphen, and an interval is "97.2 to 99.9".
    """
    header, rows = _cells(table)
    columns = "".join("l" if text else "r" for text in _is_text(header))
    lines = [
        f"\\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_line(header),
        r"\midrule",
        *map(_latex_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: pl.DataFrame) -> str:
    """Return a table of methods in CSV, all columns, shares from 0 to 1."""
    return table.write_csv()


FORMATS: Mapping[str, Callable[[pl.DataFrame], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
}
"""Name -> what makes a text of a table of methods."""


def _cells(table: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows; columns that say nothing here are left out."""
    metrics = table["metric"].unique(maintain_order=True).to_list()
    shown = {
        "benchmark": table["benchmark"].n_unique() > 1,
        "result": repeated(table),
        "method": True,
        "model": True,
        "metric": len(metrics) > 1,
    }
    texts = [name for name, wanted in shown.items() if wanted]
    value = "value" if len(metrics) > 1 else metrics[0]
    header = [
        *texts,
        *(f"{value} (%)", "95 % interval", "difference", "its 95 % interval", "p (Holm)"),
        *("forwards", "seconds"),
    ]
    return header, [_row(row, texts) for row in table.iter_rows(named=True)]


def _row(row: Mapping[str, Any], texts: Sequence[str]) -> list[str]:
    return [
        *(str(row[name]) for name in texts),
        percent(row["value"]),
        f"{percent(row['low'])} .. {percent(row['high'])}",
        points(row["difference"]),
        "-"
        if row["difference"] is None
        else f"{points(row['difference_low'])} .. {points(row['difference_high'])}",
        probability(row["p_holm"]),
        "-" if row["forwards"] is None else f"{row['forwards']:,}",
        "-" if row["seconds"] is None else f"{row['seconds']:,.1f}",
    ]


def _is_text(header: Sequence[str]) -> list[bool]:
    return [name in ("benchmark", "result", "method", "model", "metric") for name in header]


def _line(cells: Sequence[str]) -> str:
    escaped = [" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _latex_line(cells: Sequence[str]) -> str:
    escaped = ["".join(_LATEX.get(sign, sign) for sign in " ".join(cell.split())) for cell in cells]
    shown = [_MINUS.sub("$-$", _RANGE.sub(" to ", cell)) for cell in escaped]
    return f"{' & '.join(shown)} \\\\"
