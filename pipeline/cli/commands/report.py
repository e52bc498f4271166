"""`savs report`: one page about results."""

from pathlib import Path
from typing import Annotated

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.names import DEFAULT_GALLERY
from savs.pipeline.running.formatting import format_bytes


def report_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT",
            help="Stores, or folders of results and sweeps; the first result is described in full.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, option("--out", metavar="PAGE.html", help="Output file.")],
    media_root: Annotated[
        Path | None,
        option(metavar="DIR", help="Folder of the images (default: the store's thumbnails)."),
    ] = None,
    examples: Annotated[
        int, option(min=0, help="Most examples to show: wrong, least sure, least typical.")
    ] = DEFAULT_GALLERY,
    title: Annotated[
        str | None, option(metavar="TEXT", help="Heading (default: the benchmark's name).")
    ] = None,
    compare_heads: Annotated[
        bool,
        option(
            "--compare-heads", help="Also show which heads tasks share, and how stable they are."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Hold all in one file, which loads nothing. Results of the same examples are compared."""
    from savs.pipeline.reports.pages.rendering import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"--out is {str(out)!r}, expected a name that ends in .html")
    if media_root is not None and not media_root.is_dir():
        raise typer.BadParameter(f"--media-root is {str(media_root)!r}, which is not a folder")
    content = pipeline.report(
        list(paths),
        out=out,
        media_root=media_root,
        examples=examples,
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
    shown = f"{len(gallery.cards):,} examples" if gallery else "no examples"
    names = ", ".join(result.name for result in content.results)
    say(f"{format_bytes(out.stat().st_size)}: {names}; {shown} are shown")
    for note in gallery.notes if gallery else ():
        say(f"note: {note}")
