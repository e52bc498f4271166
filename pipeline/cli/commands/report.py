"""`savs report`: one page about results."""

from pathlib import Path
from typing import Annotated

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    MediaRootOption,
    advanced,
    option,
    require_folder,
    require_page,
    setting,
)
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.names import DEFAULT_GALLERY
from savs.pipeline.running.formatting import counted_as, format_bytes

EXAMPLES = (
    "savs report pets --out report.html",
    "savs report pets --media-root photos --n 50 --out report.html",
    "savs report pets/results/vote pets/results/lda --out report.html",
)


def report_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT",
            help="Stores, or folders of results and sweeps; the first result is described in full.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, option("--out", metavar="FILE.html", help="HTML file to write.")],
    media_root: MediaRootOption = None,
    n: Annotated[
        int, option("--n", min=0, help="Examples to show: wrong, least sure, least typical.")
    ] = DEFAULT_GALLERY,
    title: Annotated[
        str | None, setting(help="Heading (default: the store's name and question).")
    ] = None,
    compare_heads: Annotated[
        bool,
        advanced(
            "--compare-heads", help="Also show which heads tasks share, and how stable they are."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Writes one self-contained HTML file. Compares results on the same examples."""
    require_page(out)
    require_folder(media_root)
    content = savs.report(
        list(paths),
        out=out,
        media_root=media_root,
        examples=n,
        title=title,
        compare_heads=compare_heads,
    )
    gallery = content.gallery
    if json:
        print_json(
            {
                "page": str(out),
                "results": [str(result.folder) for result in content.results],
                "headline": dict(content.headline.main),
                "examples": [card.id for card in gallery.cards] if gallery else [],
                "notes": list(gallery.notes) if gallery else [],
            }
        )
    else:
        print_line(str(out))
    gallery_count = counted_as(len(gallery.cards) if gallery else 0, "example", "is", "are")
    names = ", ".join(result.name for result in content.results)
    say(f"{format_bytes(out.stat().st_size)}: {names}; {gallery_count} shown")
    for note in gallery.notes if gallery else ():
        say(f"note: {note}")
