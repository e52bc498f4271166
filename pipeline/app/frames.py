"""The pages in the app's frames: their templates, and the one script that a frame runs."""

import secrets
from pathlib import Path
from typing import Any

from savs.pipeline.reports.explain.explain import TEMPLATES as OF_EXPLAIN
from savs.pipeline.reports.pages.rendering import render

HERE = Path(__file__).parent
OF_REPORT = HERE.parent / "reports" / "report"


def render_frame(template: str, **values: Any) -> str:
    """Return the page of a template, which may be, or use, one of `savs report` or `savs explain`.

    Its script is that of each frame: heights, clicks and keys go to the page around, by a channel
    that it opens with a nonce.
    """
    nonce = f'const nonce = "{secrets.token_hex(16)}"'
    script = (HERE / "frame.js").read_text("utf-8").replace('const nonce = ""', nonce, 1)
    return render(HERE, template, script=script, also=(OF_REPORT, OF_EXPLAIN), **values)
