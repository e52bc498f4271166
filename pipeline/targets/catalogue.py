"""The kinds of labels that there are, each with its target; a new one is a line here, and its file.

Targets are imported when they are first used: this file alone is light.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from savs.datasets.rows.label_kinds import CLASSES, OPTION, LabelKind, Labels
from savs.foundation.errors import ParameterError
from savs.foundation.installed import Additions, Package, kind_problem
from savs.pipeline.errors import OwnCodeError
from savs.stores.errors import StoreFormatError

if TYPE_CHECKING:
    from savs.pipeline.targets.target import Target
    from savs.pipeline.targets.tasks import Decision

TARGET = "target"
"""Key of a form of labels: name of the target, if an installed package adds it."""
ONE, OWN_ANSWER = "one", "own-answer"
"""One class, and whether the model's own answer is right; no file has labels of the latter."""


class Known(NamedTuple):
    """A built-in target."""

    path: str
    """Module and object."""
    task: str = ""
    """What the help of `--task` says of it, the value first; empty if it is no value of that."""


TARGETS = {
    ONE: Known("one.ONE_CLASS"),
    "many": Known(
        "many.MANY_LABELS",
        "many-labels (lists), many-labels:| (texts such as cat|dog), many-labels:A,B (a column"
        " each, 1 or 0)",
    ),
    "ordinal": Known("numbers.ORDINALS", "ordinal (levels 1-5)"),
    "regression": Known("numbers.REGRESSIONS", "regression (any number)"),
    OWN_ANSWER: Known("answer_is_right.ANSWER_IS_RIGHT"),
}
"""Name, as config.json has it -> target."""
TASKS = {known.task.split()[0]: name for name, known in TARGETS.items() if known.task}
"""Value of `--task` -> name of its target."""
CHOSEN = (OWN_ANSWER,)
"""Those that are asked for by name, since labels do not tell, as those of installed packages."""


def _problem(value: object) -> str | None:
    return kind_problem(_imported("target.Target"))(value)


ADDED_TARGETS: "Additions[Target]" = Additions(
    "savs.targets", _problem, lambda: TARGETS, OwnCodeError
)
"""Targets of installed packages."""


@cache
def target_named(name: str, package: Package | None = None) -> "Target":
    """Return a target by its name, built in or of an installed package.

    ParameterError if there is none: `package` had it. OwnCodeError if the package fails.
    """
    if name in TARGETS:
        return _imported(TARGETS[name].path)
    added = ADDED_TARGETS.find(name)
    if added is None:
        needs = f": it needs the package {package}, which is not installed" if package else ""
        raise ParameterError(f"no target is called {name!r}{needs}; install its package")
    return added.value


def target_package(name: str) -> Package | None:
    """Return the installed package that adds a target; None for a built-in one."""
    added = None if name in TARGETS else ADDED_TARGETS.find(name)
    return None if added is None else added.package


def chosen_target(name: str) -> "Target":
    """Return a target that labels do not tell; ParameterError if none is called so."""
    known = (*CHOSEN, *ADDED_TARGETS.names())
    if name not in known:
        raise ParameterError(f"`target` is {name!r}, expected {', '.join(known)}")
    return target_named(name)


def is_chosen(target: "Target") -> bool:
    """Return whether labels do not tell a target, so that it was asked for by name."""
    return target.name in CHOSEN or target.name not in TARGETS


def target_of(facts: Mapping[str, Any]) -> "Target":
    """Return the target of a store; `facts` are its identity's `benchmark`.

    StoreFormatError if no target reads labels of this form.
    """
    form = _form(facts)
    return target_named(form[TARGET]) if form.get(TARGET) else _of_form(form)


def labels_of(facts: Mapping[str, Any]) -> Labels:
    """Return what the labels of a store are; arguments and errors as of `target_of`."""
    form = _form(facts)
    return Labels(_of_form(form).kind, form)


def kind_of_task(task: str) -> LabelKind:
    """Return what labels are with a value of `--task`, one of `TASKS`."""
    return target_named(TASKS[task]).kind


def parse_decision(value: Any) -> "Decision":
    """Return a decision as config.json has it; ValueError if it is not one.

    What has arrays, too, is returned without them.
    """
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    target = next((target for target in _built_in() if target.decides == kind), None)
    if target is None:
        known = dict.fromkeys(target.decides for target in _built_in())
        raise ValueError(f"kind: expected one of {', '.join(known)}, got {kind!r}")
    if isinstance(value, target.decision):
        value = msgspec.to_builtins(value.without_arrays())
    try:
        return msgspec.convert(value, target.decision)
    except msgspec.ValidationError as error:
        raise ValueError(f"decision: {error}") from error


def _form(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.get("options", {}).get(OPTION) or {}


def _of_form(form: Mapping[str, Any]) -> "Target":
    """Return the built-in target whose labels have a form; StoreFormatError without one."""
    name = form.get("form", CLASSES)
    for target in _built_in():
        if name in target.kind.forms:
            return target
    known = [form for target in _built_in() for form in target.kind.forms]
    raise StoreFormatError(
        f"the labels of the store have the form {name!r}, expected one of {', '.join(known)}; use"
        " the release of savs that wrote the store, or a later one"
    )


def _built_in() -> "Iterator[Target]":
    return map(target_named, TARGETS)


def _imported(path: str) -> Any:
    module, _, name = path.partition(".")
    return getattr(import_module(f"savs.pipeline.targets.{module}"), name)
