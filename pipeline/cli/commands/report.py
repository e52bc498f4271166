"""`savs report`: one page about results."""

from pathlib import Path
from typing import TYPE_CHECKING

from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted_as, format_bytes

if TYPE_CHECKING:
    from savs.pipeline.reports.report.report import ReportContent


def show(done: "ReportContent", options: Options) -> Shown:
    """Word the page, and the examples that it shows."""
    out, gallery = Path(options["out"]), done.gallery
    notes = list(gallery.notes) if gallery else []
    cards = gallery.cards if gallery else ()
    names = ", ".join(result.name for result in done.results)
    examples = counted_as(len(cards), "example", "is", "are")
    facts = {
        "page": str(out),
        "results": [str(result.folder) for result in done.results],
        "headline": dict(done.headline.main),
        "examples": [card.id for card in cards],
        "notes": notes,
    }
    messages = [f"{format_bytes(out.stat().st_size)}: {names}; {examples} shown"]
    messages += [f"note: {note}" for note in notes]
    return Shown(facts=facts, data=[str(out)], messages=messages)


COMMAND = Command(
    function="savs.pipeline.reports.report.report:report",
    about="Writes one self-contained HTML file. Compares results on the same examples.",
    examples=(
        "savs report pets --out report.html",
        "savs report pets --media-root photos --n 50 --out report.html",
        "savs report pets/results/vote pets/results/lda --out report.html",
    ),
    show=show,
)
