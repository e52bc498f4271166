"""Python files of a user's own that add to what is there."""

import importlib.util
from pathlib import Path
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
        Not there, not Python, or it fails when it runs.
    """
    place = Path(path)
    spec = importlib.util.spec_from_file_location(f"savs_own_{place.stem}", place)
    if not place.is_file() or spec is None or spec.loader is None:
        raise OwnCodeError(f"{place} is no Python file; give {option} a file that is there")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does
        raise OwnCodeError(
            f"{place} fails when it runs: {type(error).__name__}: {error}"
        ) from error
    return module
