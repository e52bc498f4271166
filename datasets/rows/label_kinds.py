"""What the labels of rows are: a class each, many labels, or numbers; how rows spell them.

A kind of labels reads a row, and knows what the text says that a store keeps of it. What is learned
of such texts, and how it is measured, is no matter of rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from savs.datasets.label_texts import States, number_text, parse_number, states_of, text_of
from savs.datasets.row import Row, strict_json

OPTION = "labels"
"""Name in the options of a store's benchmark, of the form of its labels."""
CLASSES = "classes"
"""Form of labels that are one class each; a store that has no form has this one."""
FLAGS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""Cell of a column of its own -> whether the label is there; an empty cell is unknown."""
Form = Mapping[str, Any]
"""How rows spell labels, as a store's identity has it: `form` is its name."""


@dataclass(frozen=True, slots=True)
class LabelKind(ABC):
    """What labels of rows are."""

    a_row_has: str
    """What a row has instead of a class, in a message."""
    forms: tuple[str, ...]
    """The names of the forms that rows may have, the usual one first."""
    can_be_drawn: bool = True
    """Whether training examples can be drawn by their label."""
    are_classes: ClassVar[bool] = False
    """Whether each row has one class of several: it may have a subtask, the model's answer may be
    right, and files are moved from class to class."""
    drawn_as: ClassVar[str] = "class"
    """What examples are drawn of."""

    @abstractmethod
    def read(self, row: Row, column: str, form: Form) -> str | None:
        """Return the text that a store keeps of a row's label; None if the row is not labelled.

        RowError if it is spelt in another way than the form says.
        """

    def names(self, text: str) -> list[str]:
        """Return the classes or labels that a text names; nothing where it names none."""
        return []

    def drawn_by(self, text: str) -> list[str]:
        """Return the classes, labels or numbers by which an example with this text is drawn."""
        return [text]

    def columns(self, form: Form) -> Mapping[str, str]:
        """Return the columns of labels next to that of `label`, with what they hold."""
        return {}

    def cell(self, form: Form) -> Form:
        """Return the form of labels that are given later, in one cell."""
        return form

    def same(self, text: str, where: str, ids: str) -> str:
        """Return what is wrong if all training examples of a subtask have the same text.

        `where` names the subtask, `ids` the first and the last of them.
        """
        return (
            f"the training examples{where} have one class only, {text!r}; a classifier needs at"
            " least two: add examples of another class"
        )

    def none_of_them(self, form: Form) -> str:
        """Return how a row says that it has no label at all, after a message; else nothing."""
        return ""


class OneOfClasses(LabelKind):
    """Each row has one class of its subtask."""

    are_classes = True

    def read(self, row: Row, column: str, form: Form) -> str | None:
        """Return the class."""
        if isinstance(value := row.values.get(column), list | dict):
            raise row.error(
                f"field {column!r} holds a {type(value).__name__}, expected text or a number",
                "pass `task` many-labels if rows have many",
            )
        if column not in row.values:
            raise row.error(
                f"field {column!r} is missing",
                f"the row has the fields {row.fields}; name one with `columns` label=NAME",
            )
        return None if row.values[column] in (None, "") else row.text(column)

    def names(self, text: str) -> list[str]:
        """Return the class."""
        return [text]


class Numbers(LabelKind):
    """Each row has a number."""

    def read(self, row: Row, column: str, form: Form) -> str | None:
        """Return the shortest text of the number."""
        value = row.values.get(column)
        if column not in row.values:
            raise row.error(f"field {column!r} is missing", f"the row has the fields {row.fields}")
        if value is None or value == "":
            return None
        try:
            return number_text(parse_number(value))
        except ValueError as error:
            raise row.error(f"field {column!r} is {value!r:.100}", str(error)) from error

    def same(self, text: str, where: str, ids: str) -> str:
        """Return that there is one number."""
        return f"all training examples have the number {text}, {ids}; add some with other numbers"


class LabelSets(LabelKind):
    """Each row has any of many labels: a list, a text with a separator, or columns of 0 and 1.

    A list or an object is taken in each form, also as JSON text. A text that is the separator alone
    says that no label is there.
    """

    drawn_as = "label"

    def read(self, row: Row, column: str, form: Form) -> str | None:
        """Return the canonical text of the labels.

        RowError if the labels are spelt in another way, one is empty or named twice, or a cell of a
        label's own column is neither 0 nor 1.
        """
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
                    f"label {wrong[0]!r} is {value[wrong[0]]!r:.100}",
                    "expected true, false or null",
                )
            return _canonical(row, column, {str(name): value[name] for name in value})
        if isinstance(value, str) and form["form"] == "separator":
            mark = form["separator"].strip()
            parts = [] if value.strip() == mark else [part.strip() for part in value.split(mark)]
            return _of_list(row, column, parts)
        if isinstance(value, list | tuple):
            return _of_list(row, column, value)
        raise row.error(
            f"field {column!r} is {value!r:.100}",
            'expected a list of labels such as ["cat", "dog"], or an object with true, false or'
            " null",
        )

    def names(self, text: str) -> list[str]:
        """Return all labels that it names, also unknown ones."""
        return list(states_of(text))

    def drawn_by(self, text: str) -> list[str]:
        """Return the labels that are there: others are unknown."""
        return [name for name, is_there in states_of(text).items() if is_there]

    def columns(self, form: Form) -> Mapping[str, str]:
        """Return those of single labels."""
        return dict.fromkeys(form.get("columns", ()), "1 where the label is there, 0 where not")

    def cell(self, form: Form) -> Form:
        """Return a list in place of columns."""
        return {"form": self.forms[0]} if self.columns(form) else form

    def none_of_them(self, form: Form) -> str:
        """Return an empty list, the separator alone, or zeros."""
        none = {"separator": form.get("separator", "").strip(), "columns": "0 in each column"}
        return f". An example with none of the labels says {none.get(form['form'], '[]')}"


CLASS = OneOfClasses("one class", (CLASSES,))
MANY = LabelSets("many labels, each of which is a task", ("list", "separator", "columns"))


@dataclass(frozen=True, slots=True)
class Labels:
    """What the labels of rows are, and how the rows spell them."""

    kind: LabelKind = CLASS
    form: Form = field(default_factory=dict)
    """Empty for one class each, as rows have it without an option."""

    def read(self, row: Row, column: str) -> str | None:
        """Return the text that a store keeps; None if the row is not labelled; see `LabelKind`."""
        return self.kind.read(row, column, self.form)


A_CLASS_EACH = Labels()


def _of_list(row: Row, column: str, names: Sequence[Any]) -> str:
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise row.error(f"field {column!r} has the label {wrong[0]!r:.100}", "expected text")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise row.error(f"field {column!r} has the label {twice[0]!r} twice", "name it once")
    return _canonical(row, column, dict.fromkeys(names, True))


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
    return _canonical(row, column, states) if set(states.values()) != {None} else None


def _canonical(row: Row, column: str, states: States) -> str:
    """Return the text that a store keeps; RowError if the name of a label is empty."""
    if any(not name.strip() for name in states):
        raise row.error(f"field {column!r} has an empty label", "give each label a name")
    for name in states:
        Row(row.where, row.index, {column: name}).text(column)  # refuses a lone surrogate
    return text_of(states)
