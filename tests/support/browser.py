"""Whether a browser is there that tests can start."""

import os
import shutil


def find_browser() -> str | None:
    """Return the browser's command, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def browser_required() -> bool:
    """Return whether tests shall fail without a browser."""
    return os.environ.get("BROWSER_TESTS") == "required"
