"""Names of several classifiers on the command line."""

from collections.abc import Sequence
from pathlib import Path

from savs.foundation.errors import ParameterError


def name_classifiers(given: Sequence[str]) -> dict[str, str | Path]:
    """Return name -> folder of classifiers given as `NAME=FOLDER`, or as folders.

    `hf://owner/name` stays as it is. A folder that exists may have `=` in its name. Without a name,
    the folder's own is used.

    Raises
    ------
    ParameterError
        Two have one name.
    """
    found: dict[str, str | Path] = {}
    for text in given:
        name, mark, folder = text.partition("=")
        if not mark or Path(text).exists():
            name, folder = Path(text).absolute().name, text
        path = folder if folder.startswith("hf://") else Path(folder)
        if name in found:
            raise ParameterError(
                f"two classifiers are called {name!r}: {found[name]} and {path}; pass"
                " --also NAME=FOLDER"
            )
        found[name] = path
    return found
