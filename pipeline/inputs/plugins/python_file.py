"""Python files of the user that extend savs."""

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
    return run_file(Path(path), read_file(Path(path), option))


def read_file(path: Path, option: str) -> bytes:
    """Return the content of a Python file; OwnCodeError if it is not one, or not readable."""
    if path.suffix != ".py" or not path.is_file():
        raise OwnCodeError(f"{path} is no Python file; pass an existing .py file as {option}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise OwnCodeError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from error


def run_file(path: Path, content: bytes) -> ModuleType:
    """Run the content of a Python file and return it as a module.

    Raises
    ------
    OwnCodeError
        It is not Python, or fails when it runs; the message names the line.
    """
    module = ModuleType(f"savs_plugin_{path.stem}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever the file does
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise OwnCodeError(f"{path}{_line(error, path)} fails when it runs: {text}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """Return the file's line that failed, as far as it is known."""
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}" if error.lineno else ""
    lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == str(path)]
    return f" line {lines[-1]}" if lines else ""
