"""Python files of users, and what they define. Only a file that the user names is run."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, TypeVar, cast

from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.stores.format.layout import Sha256, Text

T = TypeVar("T")
NAME = r"^[\w-]+\Z"
"""Form of the names of readouts, which name folders of results, too, and of scorings."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """The Python file that a user's object was loaded from."""

    name: Text
    """Without its folder."""
    sha256: Sha256

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256})"


def own_object(given: T | str | Path, built_in: Mapping[str, T], kind: type[T]) -> T | None:
    """Return the object that a user gives, or that his Python file defines; None for another name.

    The file is run: its constant has the name of the kind in capitals. Objects have a `name` and a
    `file`.

    SelectionError if a file has none of the kind, or the object has the name of a built-in one;
    errors as in `read_file` and `run_file`.
    """
    option = kind.__name__.lower()
    if isinstance(given, kind):
        chosen: Any = given
        where = f"the {option} given"
    elif str(given).endswith(".py"):
        path = Path(str(given))
        content, where = read_file(path, option), str(path)
        chosen = getattr(run_file(path, content), option.upper(), None)
        if not isinstance(chosen, kind):
            raise SelectionError(
                f"{path} defines no {option.upper()} that is a {kind.__module__}.{kind.__name__};"
                " docs/guide/own-readout.md has an example"
            )
        file = OwnFile(path.name, hashlib.sha256(content).hexdigest())
        chosen = replace(cast(Any, chosen), file=file)
    else:
        return None
    if built_in.get(chosen.name, chosen) is not chosen:
        raise SelectionError(f"{where}: the name {chosen.name!r} is taken; choose another")
    return chosen


def load_file(path: str | Path, option: str) -> ModuleType:
    """Run a Python file, given as `option`, and return it as a module; errors as in `run_file`."""
    return run_file(Path(path), read_file(Path(path), option))


def read_file(path: Path, option: str) -> bytes:
    """Return the content of a Python file; OwnCodeError if it is not one, or not readable."""
    if path.suffix != ".py" or not path.is_file():
        raise OwnCodeError(f"{path} is no Python file; pass an existing .py file as `{option}`")
    try:
        return path.read_bytes()
    except OSError as error:
        raise OwnCodeError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from error


def run_file(path: Path, content: bytes) -> ModuleType:
    """Run the content of a Python file and return it as a module.

    OwnCodeError if it is not Python, or fails when it runs; the message names the line.
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
