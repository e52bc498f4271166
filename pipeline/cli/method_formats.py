"""Tables as text for papers: Markdown, LaTeX with booktabs, CSV."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from savs.pipeline.evaluation.compare.compare import repeated
from savs.pipeline.running.formatting import format_bytes, percent, points, probability

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",  # else it opens a quotation
    "<": r"\textless{}",  # these three are other signs in the default encoding of fonts
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
TEXT_COLUMNS = ("benchmark", "result", "method", "model", "metric", "readout", "site")
"""Headings of columns that are set to the left."""
Cells = tuple[list[str], list[list[str]]]
"""Header and rows."""
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_RANGE = re.compile(r"(?<=\d) \.\. (?=[-+\d])")


def to_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    kinds = [" --- " if text else " ---: " for text in _is_text(header)]
    lines = [_line(header), f"|{'|'.join(kinds)}|", *map(_line, rows)]
    return "\n".join(lines) + "\n"


def to_latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in LaTeX; it needs the package booktabs.

    A minus is one, not a hyphen, and an interval is "97.2 to 99.9".
    """
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


TEXTS: Mapping[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
}
FORMATS = (*TEXTS, "csv")


def as_text(table: pl.DataFrame, form: str, cells_of: Callable[[pl.DataFrame], Cells]) -> str:
    """Return a table in one of `FORMATS`: its cells, or in CSV all columns and exact numbers."""
    return table.write_csv() if form == "csv" else TEXTS[form](*cells_of(table))


def method_cells(table: pl.DataFrame) -> Cells:
    """Return header and rows of a table of methods, see `method_table`.

    Shares are in per cent, differences in percentage points. Columns that say nothing here are left
    out.
    """
    metrics = table["metric"].unique(maintain_order=True).to_list()
    is_useful = {
        "benchmark": table["benchmark"].n_unique() > 1,
        "result": repeated(table),
        "method": True,
        "model": True,
        "metric": len(metrics) > 1,
    }
    texts = [name for name, wanted in is_useful.items() if wanted]
    value = "value" if len(metrics) > 1 else metrics[0]
    header = [
        *texts,
        *(f"{value} (%)", "95 % interval", "difference", "its 95 % interval", "p (Holm)"),
        *("forwards", "seconds", "bytes"),
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
        "-" if row["bytes"] is None else format_bytes(row["bytes"]),
    ]


def _is_text(header: Sequence[str]) -> list[bool]:
    return [name in TEXT_COLUMNS for name in header]


def _line(cells: Sequence[str]) -> str:
    escaped = [" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _latex_line(cells: Sequence[str]) -> str:
    escaped = ["".join(_LATEX.get(sign, sign) for sign in " ".join(cell.split())) for cell in cells]
    typeset = [_MINUS.sub("$-$", _RANGE.sub(" to ", cell)) for cell in escaped]
    return f"{' & '.join(typeset)} \\\\"
