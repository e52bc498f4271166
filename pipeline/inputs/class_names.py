"""Files of the user that put classes into words: names of labels, and templates of texts."""

import json
from collections.abc import Mapping
from pathlib import Path

from savs.foundation.errors import ParameterError, reason_of
from savs.foundation.files import read_regular_text

LABELS = "labels"
"""What `classes` says instead of a file: the labels of the training examples, as they are."""
MARK = "{class}"
"""Where a template has the class's name."""
SHORT_MARK = "{c}"
"""The same in the files of CLIP_benchmark."""


def read_class_names(path: str | Path) -> dict[str, str]:
    """Return label -> name: from a JSON object, a JSON list of labels, or one label a line.

    ParameterError if the file cannot be read, names a class twice or none, or has an empty name.
    """
    text = _text(path, "classes")
    if str(path).endswith(".json"):
        try:
            pairs = json.loads(text, object_pairs_hook=list)  # a name given twice stays twice
        except (ValueError, RecursionError) as error:
            raise ParameterError(f"{path} is not JSON: {error}; correct the file") from error
    else:
        pairs = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(pairs, list):
        raise ParameterError(
            f"{path} holds {type(pairs).__name__}, expected a list of labels, or an object of"
            " label and name"
        )
    names: dict[str, str] = {}
    for pair in pairs:
        label, name = pair if isinstance(pair, tuple) else (pair, pair)
        if not isinstance(label, str) or not isinstance(name, str) or not name.strip():
            raise ParameterError(
                f"{path}: class {label!r} has the name {name!r}, expected text that is not empty"
            )
        if label in names:
            raise ParameterError(f"{path} has class {label!r} twice; keep one")
        names[label] = name
    if not names:
        raise ParameterError(f"{path} names no class; write one a line")
    return names


def read_templates(path: str | Path) -> tuple[str, ...]:
    """Return the templates of a file, one a line, each once; `{c}` stands for `{class}`.

    ParameterError if the file cannot be read or is empty, or a line does not have `{class}`.
    """
    text = _text(path, "templates").replace(SHORT_MARK, MARK)
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        if line and MARK not in line:
            raise ParameterError(
                f"{path}:{number}: template {line!r} has no {MARK}; write {MARK} where the name of"
                " the class belongs"
            )
    templates = tuple(dict.fromkeys(filter(None, lines)))
    if not templates:
        raise ParameterError(f"{path} has no template; write one a line, like 'a photo of {MARK}'")
    return templates


def fill(template: str, label: str, names: Mapping[str, str]) -> str:
    """Return a template with the name of a label in it: the label where the user gave none.

    >>> fill("a photo of a {class}.", "n01", {"n01": "cat"})
    'a photo of a cat.'
    """
    return template.replace(MARK, names.get(label, label))


def _text(path: str | Path, option: str) -> str:
    try:
        return read_regular_text(Path(path))
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"`{option}` {path} cannot be read: {reason_of(error)}; pass a file of text"
        ) from error
