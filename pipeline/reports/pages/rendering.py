"""Self-contained pages of Jinja templates, written whole; every value is escaped."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from savs.foundation.errors import ParameterError
from savs.pipeline.names import PAGE_SUFFIXES
from savs.pipeline.reports.pages import charts
from savs.pipeline.running.formatting import (
    apart,
    counted,
    interval,
    measured,
    measured_interval,
    percent,
    points,
    used_of,
)
from savs.pipeline.running.output_files import new_file

HERE = Path(__file__).parent
"""Folder of what all pages share: `page.html`, `pictures.html`, `style.css`."""
MOST_CHARACTERS = 6000
"""Longest text that is shown completely."""
NEWLINE = Markup('<span class="nl" aria-hidden="true">↵</span>\n')


def require_page(out: Path) -> None:
    """Raise ParameterError if the name of a page is not that of an HTML file."""
    if out.suffix.lower() not in PAGE_SUFFIXES or out.is_dir():
        raise ParameterError(f"`out` is {str(out)!r}, expected a name that ends in .html")


def write_page(out: Path, folder: Path, template: str, *, script: str = "", **values: Any) -> None:
    """Write a page, see `render`; one that is there is replaced.

    ParameterError if `out` is no HTML file; OutputError if it cannot be written.
    """
    require_page(out)
    with new_file(out) as partial:
        text = render(folder, template, script=script, **values)
        # names of files need not be UTF-8
        partial.write_bytes(text.encode("utf-8", "backslashreplace"))


def render(
    folder: Path, template: str, *, script: str = "", also: tuple[Path, ...] = (), **values: Any
) -> str:
    """Return a page.

    The template lies in `folder`; it extends `page.html` and may use the others there, those in the
    folders `also`, and those of this package. The digest of `script`, the page's JavaScript, is
    part of the page's policy, so that a browser runs no other. A value that a template names and
    that is missing is an error.
    """
    style = (HERE / "style.css").read_text("utf-8") + charts.STYLE
    return _environment(folder, *also).get_template(template).render(
        style=Markup(style), script=Markup(script), policy=policy(script), **values
    )  # fmt: skip


def policy(script: str) -> str:
    """Return the content security policy: the images, styles and the script inside the page.

    >>> policy("")
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    """
    allowed = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    if not script:
        return allowed
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"{allowed}; script-src 'sha256-{digest}'"


@cache
def _environment(*folders: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([*folders, HERE], encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "base64": _base64,
        "count": lambda number: f"{number:,}",
        "counted": counted,
        "used_of": used_of,
        "lines": show_lines,
        "percent": percent,
        "points": points,
        "apart": apart,
        "interval": interval,
        "measured": measured,
        "measured_interval": measured_interval,
    }
    environment.globals |= cast("Any", {"tones": charts.TONES, "levels": charts.LEVELS})
    return environment


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def show_lines(text: str, most: int = MOST_CHARACTERS) -> Markup:
    """Return a text, escaped, with marks at its line ends; a long text is cut, with a note.

    >>> print(show_lines("a < b", 3))
    a &lt;<i class="soft"> ... and 2 more characters</i>
    """
    beginning = escape(text[:most]).replace("\n", NEWLINE)
    more = len(text) - most
    note = Markup('<i class="soft"> ... and {:,} more characters</i>').format(more)
    return beginning + note if more > 0 else beginning
