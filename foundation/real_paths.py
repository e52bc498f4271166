"""Paths without the links in them, to tell whether two are one place."""

import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """Return an absolute path without links; links that lead in a circle stay as they are.

    `Path.resolve` raises a RuntimeError for these up to Python 3.12.
    """
    return Path(os.path.realpath(path))
