"""The pages in the app's frames: their templates, and the one script that a frame runs."""

from pathlib import Path
from typing import Any

from savs.pipeline.reports.explain.explain import TEMPLATES as OF_EXPLAIN
from savs.pipeline.reports.pages.rendering import render

HERE = Path(__file__).parent
OF_REPORT = HERE.parent / "reports" / "report"


def frame_script() -> str:
    """Return what each page does in its frame: heights, clicks and keys go to the page around."""
    return (HERE / "frame.js").read_text("utf-8")


def render_frame(template: str, **values: Any) -> str:
    """Return the page of a template, which may use those of `savs report` and `savs explain`."""
    return render(HERE, template, script=frame_script(), also=(OF_REPORT, OF_EXPLAIN), **values)
