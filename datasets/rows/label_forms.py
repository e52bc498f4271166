"""How rows of files spell many labels: in a list, with a separator, or in columns of 0 and 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from savs.datasets.label_kinds import States, kind_of, number_text, parse_number
from savs.datasets.many_labels import text_of
from savs.datasets.row import Row, strict_json

FLAGS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""Cell of a column of its own -> whether the label is there; an empty cell is unknown."""


def read_labels(row: Row, column: str, form: Mapping[str, Any]) -> str | None:
    """Return the canonical text of a row's labels; None for a row that is not labelled.

    A list or an object is taken in each form, also as JSON text. A text that is the separator alone
    says that no label is there.

    Raises
    ------
    RowError
        The labels are spelt in another way, one is empty or named twice, or a cell of a label's own
        column is neither 0 nor 1.
    """
    if kind_of(form).are_numbers:
        return read_number(row, column)
    if form["form"] == "columns":
        return _of_columns(row, column, form["columns"])
    value = row.values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = strict_json(value)
        except (ValueError, RecursionError) as error:
            raise row.error(f"field {column!r} is no JSON ({error})", "correct it") from error
    if isinstance(value, Mapping):
        if wrong := [n for n, s in value.items() if not (s is None or isinstance(s, bool))]:
            raise row.error(
                f"label {wrong[0]!r} is {value[wrong[0]]!r:.100}", "expected true, false or null"
            )
        return canonical(row, column, {str(name): value[name] for name in value})
    if isinstance(value, str) and form["form"] == "separator":
        mark = form["separator"].strip()
        parts = [] if value.strip() == mark else [part.strip() for part in value.split(mark)]
        return _of_list(row, column, parts)
    if isinstance(value, list | tuple):
        return _of_list(row, column, value)
    raise row.error(
        f"field {column!r} is {value!r:.100}",
        'expected a list of labels such as ["cat", "dog"], or an object with true, false or null',
    )


def read_number(row: Row, column: str) -> str | None:
    """Return the text of the number of a row; None if it is null or empty."""
    value = row.values.get(column)
    if column not in row.values:
        raise row.error(f"field {column!r} is missing", f"the row has the fields {row.fields}")
    if value is None or value == "":
        return None
    try:
        return number_text(parse_number(value))
    except ValueError as error:
        raise row.error(f"field {column!r} is {value!r:.100}", str(error)) from error


def _of_list(row: Row, column: str, names: Sequence[Any]) -> str:
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise row.error(f"field {column!r} has the label {wrong[0]!r:.100}", "expected text")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise row.error(f"field {column!r} has the label {twice[0]!r} twice", "name it once")
    return canonical(row, column, dict.fromkeys(names, True))


def _of_columns(row: Row, column: str, names: Sequence[str]) -> str | None:
    """Return the text of a row with a column of 0 and 1 for each label."""
    if not any(name in row.values for name in names) and row.values.get(column, "") is None:
        return None  # a row that waits for its labels
    states: dict[str, bool | None] = {}
    for name in names:
        if name not in row.values:
            raise row.error(
                f"column {name!r} of `label_columns` is missing", f"the row has {row.fields}"
            )
        cell = row.optional(name)
        if cell is not None and cell.strip().lower() not in FLAGS:
            raise row.error(f"label {name!r} is {cell!r}", "expected 0, 1, or nothing if unknown")
        states[name] = None if cell is None else FLAGS[cell.strip().lower()]
    return canonical(row, column, states) if set(states.values()) != {None} else None


def canonical(row: Row, column: str, states: States) -> str:
    """Return the text that a store keeps; RowError if the name of a label is empty."""
    if any(not name.strip() for name in states):
        raise row.error(f"field {column!r} has an empty label", "give each label a name")
    for name in states:
        Row(row.where, row.index, {column: name}).text(column)  # refuses a lone surrogate
    return text_of(states)
