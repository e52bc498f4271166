"""`report`: one HTML page about results, written to a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.suspects import load_suspects
from savs.pipeline.evaluation.tables import suspects_table
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.names import DEFAULT_GALLERY
from savs.pipeline.reports.pages.rendering import require_page, write_page
from savs.pipeline.reports.report.classes import classes_part
from savs.pipeline.reports.report.curves import Curves, confidence_parts, sweep_parts
from savs.pipeline.reports.report.folders import find_folders, read_results
from savs.pipeline.reports.report.gallery import Gallery, gallery_part
from savs.pipeline.reports.report.headline import headline_of, metrics_part, parts_part
from savs.pipeline.reports.report.heads import across_part, heads_part
from savs.pipeline.reports.report.provenance import checks_part, provenance_part
from savs.pipeline.running.formatting import counted, listed, measured, measured_interval
from savs.pipeline.running.options import Option
from savs.pipeline.running.table import Table
from savs.pipeline.targets import Target


@dataclass(frozen=True)
class Sources:
    """What the parts of a report are made of."""

    results: Sequence[Result]
    """The first one is described in detail, the others are compared with it."""
    sweep_folders: Sequence[Path]
    page: Path
    """HTML file of the report."""
    media_root: str | Path | None
    examples: int
    compare_heads: bool

    @property
    def first(self) -> Result:
        """The result that is described in detail."""
        return self.results[0]

    @cached_property
    def gallery(self) -> Gallery | None:
        """The examples that the page shows."""
        return gallery_part(self.results, self.examples, self.media_root)

    @cached_property
    def sweeps(self) -> tuple[tuple[Curves, ...], tuple[Curves, ...]]:
        """Sweeps, then those over depths."""
        return sweep_parts(self.sweep_folders)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page, which the template of its name shows."""

    name: str
    anchor: str
    """Id of its section."""
    word: str | None
    """Word of the links to it; None for the `name` of what is shown."""
    build: Callable[[Sources], Any]
    """Returns what is shown; None to leave the part out."""


PARTS = (
    Part("headline", "result", "result", lambda of: headline_of(of.results)),
    Part("gallery", "examples", "examples", lambda of: of.gallery),
    Part("classes", "classes", None, lambda of: classes_part(of.first, of.gallery)),
    Part("metrics", "metrics", "metrics", lambda of: metrics_part(of.first)),
    Part("parts", "parts", "parts", lambda of: parts_part(of.first)),
    Part(
        "confidence",
        "calibration",
        "how sure",
        lambda of: confidence_parts(of.first.metrics) or None,
    ),
    Part("suspects", "suspects", "labels to look at", lambda of: load_suspects(of.first.folder)),
    Part("heads", "heads", "heads", lambda of: heads_part(of.first)),
    Part(
        "across",
        "across",
        "heads across tasks",
        lambda of: across_part(of.results) if of.compare_heads else None,
    ),
    Part("curves", "sweep", "shots and heads", lambda of: of.sweeps[0] or None),
    Part("depths", "depth", "depth", lambda of: of.sweeps[1] or None),
    Part("checks", "checks", "limits", lambda of: checks_part(of.first)),
    Part(
        "provenance",
        "provenance",
        "made with",
        lambda of: provenance_part(of.first, of.page, of.media_root),
    ),
)
"""All parts, in the order of the page."""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report shows."""

    title: str
    model: str
    results: tuple[Result, ...]
    """The first one is described in detail, the others are compared with it."""
    shown: Mapping[str, Any]
    """Name of each of `PARTS` -> what it shows, which is an attribute, too, such as `gallery`; None
    if there is nothing to show."""

    def __getattr__(self, name: str) -> Any:
        """Return what the part of a name shows."""
        if name in self.shown:
            return self.shown[name]
        raise AttributeError(f"a report has no part {name!r}; it has {', '.join(self.shown)}")

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
    sources = Sources(
        results=read_results(folders.results),
        sweep_folders=folders.sweeps,
        page=page,
        media_root=media_root,
        examples=examples,
        compare_heads=compare_heads,
    )
    first = sources.first
    content = ReportContent(
        title=title or first.title,
        model=str(first.metrics["model"].get("name") or "unknown model"),
        results=tuple(sources.results),
        shown={part.name: part.build(sources) for part in PARTS},
    )
    script = Path(__file__).with_name("report.js").read_text("utf-8")
    write_page(
        page,
        Path(__file__).parent,
        "report.html",
        script=script,
        parts=PARTS,
        content=content,
        suspects_table=_without_margins,
    )
    return content


def _without_margins(suspects: pl.DataFrame, target: Target) -> Table:
    """Return the table of suspects without their margins, which have the units of a readout."""
    table = suspects_table(suspects, target)
    columns = [column for column in table.columns if column.heading != "margin"]
    return replace(table, columns=columns)
