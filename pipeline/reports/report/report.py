"""`report`: one HTML page about results, written to a file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import polars as pl

from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.suspects import load_suspects
from savs.pipeline.evaluation.tables import metrics_table, suspects_table
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.names import DEFAULT_GALLERY
from savs.pipeline.reports.pages.rendering import require_page, write_page
from savs.pipeline.reports.report.classes import ClassesPart, classes_part
from savs.pipeline.reports.report.curves import (
    ConfidencePart,
    Curves,
    confidence_parts,
    sweep_parts,
)
from savs.pipeline.reports.report.folders import find_folders, read_results
from savs.pipeline.reports.report.gallery import Gallery, gallery_part
from savs.pipeline.reports.report.headline import Headline, groups_table, headline_of, parts_tables
from savs.pipeline.reports.report.heads import Across, HeadsPart, across_part, heads_part
from savs.pipeline.reports.report.provenance import Checks, Provenance, checks_part, provenance_part
from savs.pipeline.running.formatting import counted, listed, measured, measured_interval
from savs.pipeline.running.options import Option
from savs.pipeline.running.table import Table
from savs.pipeline.targets import Target


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report shows. A part is None, or empty, if there is nothing to show."""

    title: str
    model: str
    results: tuple[Result, ...]
    """The first one is described in detail, the others are compared with it."""
    headline: Headline
    metrics: Table | None
    """All metrics of the first result; None if the headline is the only one."""
    heads: HeadsPart | None
    classes: ClassesPart
    parts: dict[str, Table]
    """Accuracy of each subtask and category."""
    groups: Table | None
    gallery: Gallery | None
    confidence: tuple[ConfidencePart, ...]
    suspects: pl.DataFrame | None
    """Training examples whose label looks wrong, if `select` listed them for the first result."""
    curves: tuple[Curves, ...]
    depths: tuple[Curves, ...]
    """Sweeps over depths."""
    across: Across | None
    """Heads across tasks, if that was asked for."""
    checks: Checks
    provenance: Provenance

    def __repr__(self) -> str:
        """Return a few lines: the results, the headline metric and how many examples are shown."""
        main = self.headline.main
        scale = self.headline.scale
        ends = measured_interval(main["low"], main["high"], scale)
        card_count = len(self.gallery.cards) if self.gallery else 0
        return (
            f"ReportContent({listed([self.title])}: {listed([one.name for one in self.results])})\n"
            f"  {self.headline.metric} {measured(main['value'], scale)}, 95 % interval {ends}\n"
            f"  {counted(card_count, 'example')} shown"
        )

    @property
    def first(self) -> Result:
        """The result that is described in detail."""
        return self.results[0]


def report(
    paths: Annotated[str | Path | Sequence[str | Path], Option(metavar="RESULT", is_repeated=True)],
    *,
    out: Annotated[str | Path, Option(metavar="FILE.html")],
    media_root: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    examples: Annotated[int, Option(name="n", min=0)] = DEFAULT_GALLERY,
    title: Annotated[str | None, Option(level="python")] = None,
    compare_heads: Annotated[bool, Option(level="python")] = False,
) -> ReportContent:
    """Write one HTML page about results. It holds all it shows, and loads nothing.

    The first result is described in detail; others of the same examples are compared with it, unit
    by unit.

    Parameters
    ----------
    paths
        Stores, or folders of results and sweeps; the first result is described in full.

        Of a store all results and sweeps are taken.
    out
        HTML file to write.

        One that is there is replaced.
    media_root
        Folder of the images (default: the store's thumbnails).
    examples
        Examples to show: wrong, least sure, least typical.

        0 for none.
    title
        Heading (default: the store's name and question).
    compare_heads
        Also show which heads tasks share, and how stable they are.

        Heads of the first result are scored again on random halves of its training examples.

    Returns
    -------
    ReportContent
        What the page shows.

    Raises
    ------
    ReportError
        A path is neither a store with results nor a result, or `out` is no HTML file.
    ResultError, ComparisonError
        A file of a result is missing or damaged, or its examples have no labels.
    OutputError
        `out` cannot be written.
    """
    page = Path(out)
    require_page(page)
    require_media_root(media_root)
    if examples < 0:
        raise ParameterError(f"`examples` is {examples}, expected at least 0")
    folders = find_folders(
        [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    )
    results = read_results(folders.results)
    first = results[0]
    gallery = gallery_part(results, examples, media_root)
    curves, depths = sweep_parts(folders.sweeps)
    metrics = first.metrics["metrics"]
    content = ReportContent(
        title=title or first.title,
        model=str(first.metrics["model"].get("name") or "unknown model"),
        results=tuple(results),
        headline=headline_of(results),
        metrics=metrics_table(metrics) if len(metrics) > 1 else None,
        heads=heads_part(first),
        classes=classes_part(first, gallery),
        parts=parts_tables(first.metrics.get("parts", ())),
        groups=groups_table(first.predictions()),
        gallery=gallery,
        confidence=confidence_parts(first.metrics),
        suspects=load_suspects(first.folder),
        curves=curves,
        depths=depths,
        across=across_part(results) if compare_heads else None,
        checks=checks_part(first),
        provenance=provenance_part(first, page, media_root),
    )
    script = Path(__file__).with_name("report.js").read_text("utf-8")
    write_page(
        page,
        Path(__file__).parent,
        "report.html",
        script=script,
        content=content,
        suspects_table=_without_margins,
    )
    return content


def _without_margins(suspects: pl.DataFrame, target: Target) -> Table:
    """Return the table of suspects without their margins, which have the units of a readout."""
    table = suspects_table(suspects, target)
    columns = [column for column in table.columns if column.heading != "margin"]
    return replace(table, columns=columns)
