"""One row of an input file; it knows where it stands, and says so when it is wrong."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from savs.datasets.errors import RowError
from savs.datasets.rows.parquet_media import PackedMedium


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the place that an error message names."""

    where: str
    """File and line, or file and row."""
    index: int
    """Position among the file's rows, from 0."""
    values: Mapping[str, Any]
    stem: str = ""
    """What ids of examples begin with: the file's name without its suffix."""

    @property
    def id(self) -> str:
        """The id of the row's example where no column has one: `<file stem>:<row>`."""
        return f"{self.stem}:{self.index}"

    def error(self, problem: str, remedy: str) -> RowError:
        """Return the error that says what is wrong with this row."""
        return RowError(f"{self.where}: {problem}; {remedy}")

    def text(self, name: str) -> str:
        """Return a required text field; numbers and booleans as JSON spells them.

        Raises
        ------
        RowError
            The field is missing, null, a list or an object.
        """
        value = self.values.get(name)
        if value is None:
            what = "is null" if name in self.values else "is missing"
            have = ", ".join(map(str, self.values)) or "none"
            raise self.error(f"field {name!r} {what}", f"the row has the fields {have}")
        if value == "":
            raise self.error(f"field {name!r} is empty", "give it a value")
        return self._scalar(name, value)

    def choice(self, name: str, allowed: Collection[str]) -> str:
        """Return a required text field that has one of a few values; RowError otherwise."""
        value = self.text(name)
        if value not in allowed:
            raise self.error(f"field {name!r} is {value!r}", f"expected {' or '.join(allowed)}")
        return value

    def optional(self, name: str) -> str | None:
        """Return a text field, or None where it is missing, null or empty, as it is in CSV."""
        value = self.values.get(name)
        return None if value is None or value == "" else self._scalar(name, value)

    def _scalar(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise self.error(
                    f"field {name!r} holds half a character ({error.reason})", "mend the text"
                ) from error
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"field {name!r} is {value}, which is no value", "mend the number")
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise self.error(
            f"field {name!r} holds a {type(value).__name__}, expected text or a number",
            "give one value a field",
        )

    def medium(self, name: str) -> str | None:
        """Return the name of the medium in a field, or None where it is missing or null.

        Raises
        ------
        RowError
            The field is empty, or holds what is no name.
        """
        value = self.values.get(name)
        if isinstance(value, PackedMedium):
            return value.name
        if value == "":
            raise self.error(f"field {name!r} is empty", "name a file, or make it null")
        return self.optional(name)

    def names(self, one: str, many: str) -> tuple[str, ...]:
        """Return the media in field `one` (a name) or `many` (a list); empty without either."""
        value = self.values.get(many)
        if value is None:
            single = self.medium(one)
            return () if single is None else (single,)
        if self.values.get(one) is not None:
            raise self.error(f"has both {one!r} and {many!r}", "keep one of them")
        if not isinstance(value, list):
            raise self.error(f"field {many!r} holds {value!r}", "expected a list of file names")
        names = [item.name if isinstance(item, PackedMedium) else item for item in value]
        if not all(isinstance(name, str) and name for name in names):
            raise self.error(f"field {many!r} holds {value!r}", "expected a list of file names")
        return tuple(self._scalar(many, name) for name in names)

    def rest(self, known: Collection[str]) -> dict[str, Any]:
        """Return the fields that are not known, as JSON can hold them.

        Media are left out; NaN and infinities are null; other bytes are told by their number; what
        else JSON does not know, dates say, is text.

        Raises
        ------
        RowError
            A text holds half a character.
        """
        rest = {
            str(name): _plain(value)
            for name, value in self.values.items()
            if name not in known and not _media(value)
        }
        text = json.dumps(rest, ensure_ascii=False)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.error(f"it holds half a character ({error.reason})", "mend it") from error
        return json.loads(text)


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
