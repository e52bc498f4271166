"""A shift: train on some groups of rows, test on others, such as another camera or attack."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from savs.datasets.errors import OptionError
from savs.datasets.example import Example, first_few

FIELDS = ("label", "group", "subtask", "category")
"""Fields of an example that may be named, next to the other columns of its row."""
NAMED = 8
"""Values, or columns, that a message names."""


def hold_out(
    pool: Sequence[Example], wanted: Sequence[str], columns: Mapping[str, str] | None = None
) -> tuple[list[Example], list[Example]]:
    """Split a pool into training examples and those that are held out to be tested.

    Parameters
    ----------
    pool
        All examples.
    wanted
        Texts `column=value`, at least one: an example that has one of these values is tested.
    columns
        Field -> the column that it is read from, where names differ.

    Raises
    ------
    OptionError
        A text has another form, or a column or value is in no row, or no example is left to train.

    Examples
    --------
    >>> def example(camera):
    ...     return Example(camera, "test", 0, "cat", "?", extra={"camera": camera})
    >>> train, test = hold_out([example("a"), example("b"), example("c")], ["camera=b"])
    >>> [one.id for one in train], [one.id for one in test]
    (['a', 'c'], ['b'])
    """
    tested: set[int] = set()
    fields = {column: field for field, column in (columns or {}).items() if field in FIELDS}
    for text in wanted:
        column, mark, value = text.partition("=")
        if not mark or not column or not value:
            raise OptionError(f"`hold_out` is {text!r}, expected COLUMN=VALUE, such as camera=3")
        values = [_value(example, fields.get(column, column)) for example in pool]
        if value not in values:
            raise _absent(pool, column, value, values)
        tested.update(number for number, row_value in enumerate(values) if row_value == value)
    if len(tested) == len(pool):
        raise OptionError(
            f"`hold_out` {', '.join(wanted)} holds out all {len(pool):,} rows; leave some to train"
            " on"
        )
    train = [replace(e, split="train") for n, e in enumerate(pool) if n not in tested]
    return train, [replace(e, split="test") for n, e in enumerate(pool) if n in tested]


def _value(example: Example, column: str) -> str | None:
    """Return what a row has in a column, as text; numbers as JSON spells them."""
    value = getattr(example, column) if column in FIELDS else example.extra.get(column)
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _absent(
    pool: Sequence[Example], column: str, value: str, values: Sequence[str | None]
) -> OptionError:
    known = Counter(row_value for row_value in values if row_value is not None)
    if known:
        named = first_few(map(repr, dict(known.most_common())), NAMED)
        return OptionError(f"`hold_out`: no row has {value!r} in {column!r}; it has {named}")
    columns = dict.fromkeys(name for example in pool for name in example.extra)
    fields = [name for name in FIELDS if any(getattr(e, name) is not None for e in pool)]
    there = first_few([*columns, *fields], NAMED)
    return OptionError(f"`hold_out`: no row has a column {column!r}; they have {there}")
