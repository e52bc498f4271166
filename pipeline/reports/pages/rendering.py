"""Jinja templates to self-contained pages; every value is escaped unless a template is trusted."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from savs.pipeline.running.formatting import percent, points, probability

HERE = Path(__file__).parent
"""Folder of what all pages share: `page.html`, `pictures.html`, `style.css`."""
MOST_CHARACTERS = 6000
"""Longest text that is shown completely."""
NEWLINE = Markup('<span class="nl" aria-hidden="true">↵</span>\n')


def render(folder: Path, template: str, *, script: str = "", **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    folder
        Where the template lies; it may use those beside it, and those of this package.
    template
        Name of the page's template, which extends `page.html`.
    script
        The page's own JavaScript. Its digest is part of the page's policy, so that a browser runs
        no other.
    **values
        What the template shows; one that it names and that is missing is an error.
    """
    style = (HERE / "style.css").read_text("utf-8")
    return _environment(folder).get_template(template).render(
        style=Markup(style), script=Markup(script), policy=policy(script), **values
    )  # fmt: skip


def policy(script: str) -> str:
    """Return the content security policy: the images, styles and the script inside the page.

    Examples
    --------
    >>> policy("")
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    """
    allowed = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if not script:
        return allowed
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"{allowed}; script-src 'sha256-{found}'"


@cache
def _environment(folder: Path) -> Environment:
    made = Environment(
        loader=FileSystemLoader([folder, HERE], encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "count": lambda number: f"{number:,}",
        "lines": show_lines,
        "percent": percent,
        "points": points,
        "probability": probability,
    }
    return made


def show_lines(text: str, most: int = MOST_CHARACTERS) -> Markup:
    """Return a text, escaped, with marks at its line ends; what is too long is cut, and says so.

    Examples
    --------
    >>> print(show_lines("a < b", 3))
    a &lt;<i class="soft"> ... and 2 more characters</i>
    """
    shown = escape(text[:most]).replace("\n", NEWLINE)
    more = len(text) - most
    note = Markup('<i class="soft"> ... and {:,} more characters</i>').format(more)
    return shown + note if more > 0 else shown
