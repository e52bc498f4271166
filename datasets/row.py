"""One row of an input file, which knows its file and line and names them in errors."""

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from savs.datasets.errors import RowError
from savs.foundation.bounds import MAX_LEVELS, is_too_deep

MAX_ROW_BYTES = 2**27
"""Most bytes of a line, of a CSV cell, and of the text in a row of a Parquet file."""


@dataclass(frozen=True, slots=True)
class PackedMedium:
    """A medium whose bytes are stored in the row of a file."""

    name: str
    """`FILE#ROW/COLUMN`, followed by the index in the list if the column holds lists."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an input file.

    Methods that read a field raise a RowError, which names the row, for a value of another kind,
    and where the field is required but missing, null or empty.
    """

    where: str
    """File and line, or file and row number, for error messages."""
    index: int
    """Number of the row in its file, from 0."""
    values: Mapping[str, Any]
    """Field -> value."""
    stem: str = ""
    """Prefix of example ids: the file's name without its suffix."""

    @property
    def id(self) -> str:
        """The default id of the row's example: `<file stem>:<row>`."""
        return f"{self.stem}:{self.index}"

    @property
    def fields(self) -> str:
        """The names of its fields, for messages."""
        return ", ".join(map(str, self.values)) or "none"

    def error(self, problem: str, remedy: str) -> RowError:
        """Return an error that names this row, what is wrong with it and how to fix it."""
        return RowError(f"{self.where}: {problem}; {remedy}")

    def text(self, name: str) -> str:
        """Return a required text field; numbers and booleans as JSON spells them."""
        value = self.values.get(name)
        if value is None:
            what = "is null" if name in self.values else "is missing"
            raise self.error(f"field {name!r} {what}", f"the row has the fields {self.fields}")
        if value == "":
            raise self.error(f"field {name!r} is empty", "give it a value")
        return self._scalar(name, value)

    def choice(self, name: str, allowed: Collection[str]) -> str:
        """Return a required text field whose value is one of `allowed`."""
        value = self.text(name)
        if value not in allowed:
            raise self.error(f"field {name!r} is {value!r}", f"expected {' or '.join(allowed)}")
        return value

    def label_in(self, *names: str) -> str:
        """Return the label, byte for byte, of several fields that agree if they have one."""
        labels_by_field = {
            name: self.text(name) for name in names if self.values.get(name) is not None
        }
        if not labels_by_field:
            raise self.error(
                f"no field {' or '.join(map(repr, names))} has a label",
                f"the row has the fields {self.fields}",
            )
        if len(set(labels_by_field.values())) > 1:
            labels = " and ".join(
                f"{name!r} is {value!r}" for name, value in labels_by_field.items()
            )
            raise self.error(f"two fields have a label: {labels}", f"keep only {names[0]!r}")
        return next(iter(labels_by_field.values()))

    def optional(self, name: str) -> str | None:
        """Return a text field, or None if it is missing, null or empty (as in CSV)."""
        value = self.values.get(name)
        return None if value is None or value == "" else self._scalar(name, value)

    def _scalar(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            return self._unicode(value, f"field {name!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"field {name!r} is {value}", "expected a finite number or text")
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise self.error(
            f"field {name!r} holds a {type(value).__name__}, expected text or a number",
            "give one value per field",
        )

    def medium(self, name: str) -> str | None:
        """Return the name of an optional medium, or None if it is missing, null or empty."""
        value = self.values.get(name)
        return value.name if isinstance(value, PackedMedium) else self.optional(name)

    def required_medium(self, name: str) -> str:
        """Return the name of a required medium: a file, or bytes stored in the row."""
        return self.medium(name) or self.text(name)

    def names(self, one: str, many: str) -> tuple[str, ...]:
        """Return the media in field `one` (a name) or `many` (a list), not both.

        Null and empty names at the end of a list are slots without a medium.
        """
        single, value = self.medium(one), self.values.get(many)
        if value is None or value == "":
            return () if single is None else (single,)
        if single is not None:
            raise self.error(f"has both {one!r} and {many!r}", "keep one")
        items = value if isinstance(value, list) else [value]
        names = [item.name if isinstance(item, PackedMedium) else item for item in items]
        while names and names[-1] in (None, ""):
            names.pop()
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in names):
            raise self.error(f"field {many!r} holds {value!r}", "expected a list of file names")
        return tuple(self._scalar(many, name) for name in names)

    def rest(self, known: Collection[str]) -> dict[str, Any]:
        """Return the fields that are not in `known`, in a form that JSON can hold.

        Media are left out. NaN and infinity become null, bytes become a text that gives their
        length, and other values that JSON lacks, such as dates, become strings.
        """
        rest = {
            str(name): _plain(value)
            for name, value in self.values.items()
            if name not in known and not _media(value)
        }
        return json.loads(self._unicode(json.dumps(rest, ensure_ascii=False), "a field"))

    def _unicode(self, text: str, what: str) -> str:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            problem = f"{what} holds a lone surrogate ({error.reason})"
            raise self.error(problem, "correct the text") from error
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, PackedMedium):
        return value.name
    return value if isinstance(value, str | int | None) else str(value)


def _media(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_media, value))
    return isinstance(value, bytes | PackedMedium)


def strict_json(text: str) -> Any:
    """Decode JSON, but refuse NaN, infinity and an object that names a field twice.

    ValueError if it is not JSON, RecursionError if it is nested too deep.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a JSON value")

    return json.loads(text, parse_constant=refuse, object_pairs_hook=_object)


def json_object(text: str, where: str, remedy: str) -> dict[str, Any]:
    """Decode the object at a place of a file; RowError that names it otherwise."""
    try:
        value = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{where} is not JSON ({error}); {remedy}") from error
    return require_object(value, where)


def require_object(value: Any, where: str) -> dict[str, Any]:
    """Return a decoded value that is an object; RowError that names its place otherwise."""
    if not isinstance(value, dict):
        raise RowError(f"{where} holds a {type(value).__name__}, expected an object with fields")
    if is_too_deep(value):
        raise RowError(f"{where} is nested more than {MAX_LEVELS} levels deep; flatten it")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"field {twice!r} occurs twice")
    return values
