"""The figure of a sweep for a paper: its charts as one SVG, which LaTeX and browsers show alike."""

from pathlib import Path

import polars as pl

from savs.pipeline.errors import ReportError
from savs.pipeline.reports.pages.rendering import render
from savs.pipeline.reports.report.curves import charts_of_sweep
from savs.pipeline.running.output_files import new_file

TONES = (
    ("#0a5bb5", "none"),
    ("#b3470f", "7 3"),
    ("#2e8b57", "2 3"),
    ("#8c5fd0", "9 3 2 3"),
    ("#b8860b", "12 4"),
    ("#d0578c", "4 4"),
)
"""Colour and dashes of each line of a chart, those of a report on light ground."""


def require_figure(out: Path) -> None:
    """Raise ReportError if the name of a figure is not that of an SVG file."""
    if out.suffix.lower() != ".svg" or out.is_dir():
        raise ReportError(f"`figure` is {out}, expected a name that ends in .svg")


def write_figure(out: Path, rows: pl.DataFrame, metric: str) -> None:
    """Draw means by shots, and by heads if there are several numbers; a file there is replaced.

    Parameters
    ----------
    out
        The SVG file.
    rows
        One metric of a sweep's summary, or means of `Sweep.over_stores`; `readout` is what a line
        is called. Where `low` and `high` are null there are no bands.
    metric
        What the vertical axis is, in per cent.

    Raises
    ------
    ReportError
        `out` is no SVG file, or there is one number of shots and of heads, which is no curve.
    OutputError
        It cannot be written.
    """
    require_figure(out)
    if "stores" in rows.columns:
        rows = rows.with_columns(chance=None, draws="stores")
    charts = charts_of_sweep(rows, f"{metric} (%)")
    if not charts:
        raise ReportError("one number of shots and of heads makes no curve; sweep several `shots`")
    text = render(Path(__file__).parent, "figure.svg", charts=charts, tones=TONES)
    with new_file(out, "another `figure`") as file:
        file.write_bytes(text.encode("utf-8", "backslashreplace"))
