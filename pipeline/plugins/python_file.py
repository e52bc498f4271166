"""Python files of a user's own that add to what is there."""

import importlib.util
import sys
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from savs.pipeline.errors import OwnCodeError


def load_file(path: str | Path, option: str) -> ModuleType:
    """Run a Python file and return it as a module.

    Parameters
    ----------
    path
        The file.
    option
        What the file was given to, for the message.

    Raises
    ------
    OwnCodeError
        Not there, not Python, or it fails when it runs; the message names the line.
    """
    place = Path(path)
    name = f"savs_own_{place.stem}"
    spec = importlib.util.spec_from_file_location(name, place)
    if not place.is_file() or spec is None or spec.loader is None:
        raise OwnCodeError(f"{place} is no Python file; give {option} a file that is there")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file does
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise OwnCodeError(f"{place}{_line(error, place)} fails when it runs: {text}") from error
    return module


def _line(error: BaseException, place: Path) -> str:
    """Return the file's line that failed, as far as it is known."""
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}" if error.lineno else ""
    names = {str(place), str(place.absolute())}
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename in names]
    return f" line {lines[-1]}" if lines else ""
