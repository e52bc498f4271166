"""What a label is: a class of several, any of many labels, a number, or whether an answer is right.

`target_of` a store, or `target_named` in a selection, is the one place that knows which targets
there are; each is imported when it is first used.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from savs.datasets.label_kinds import (
    MANY,
    ONE,
    OPTION,
    ORDINAL,
    OWN_ANSWER,
    REGRESSION,
    TARGET,
    label_kind,
)
from savs.foundation.errors import ParameterError
from savs.foundation.installed import Additions, Package, kind_problem
from savs.pipeline.errors import OwnCodeError
from savs.pipeline.targets.tasks import Decision as Decision
from savs.pipeline.targets.target import Target as Target

TARGETS = {
    ONE: "one.ONE_CLASS",
    MANY: "many.MANY_LABELS",
    ORDINAL: "numbers.ORDINALS",
    REGRESSION: "numbers.REGRESSIONS",
    OWN_ANSWER: "answer_is_right.ANSWER_IS_RIGHT",
}
"""Name, as config.json has it -> module and target."""
CHOSEN = (OWN_ANSWER,)
"""Those that are asked for by name, since labels do not tell, as those of installed packages."""
ADDED_TARGETS: Additions[Target] = Additions(
    "savs.targets", kind_problem(Target), lambda: TARGETS, OwnCodeError
)
"""Targets of installed packages."""
DECISIONS = {
    "classes": "calibration.CalibrationConfig",
    "label": "label_rules.LabelRule",
    "number": "numbers.NumberRule",
    "answer": "answer_is_right.AnswerRule",
}
"""Kind of a decision, as config.json has it -> module and class."""


@cache
def target_named(name: str, package: Package | None = None) -> Target:
    """Return a target by its name, built in or of an installed package.

    ParameterError if there is none: `package` had it. OwnCodeError if the package fails.
    """
    if name in TARGETS:
        return _imported(TARGETS[name])
    added = ADDED_TARGETS.find(name)
    if added is None:
        needs = f": it needs the package {package}, which is not installed" if package else ""
        raise ParameterError(f"no target is called {name!r}{needs}; install its package")
    return added.value


def target_package(name: str) -> Package | None:
    """Return the installed package that adds a target; None for a built-in one."""
    added = None if name in TARGETS else ADDED_TARGETS.find(name)
    return None if added is None else added.package


def chosen_target(name: str) -> Target:
    """Return a target that labels do not tell; ParameterError if none is called so."""
    known = (*CHOSEN, *ADDED_TARGETS.names())
    if name not in known:
        raise ParameterError(f"`target` is {name!r}, expected {', '.join(known)}")
    return target_named(name)


def is_chosen(target: Target) -> bool:
    """Return whether labels do not tell a target, so that it was asked for by name."""
    return target.name in CHOSEN or target.name not in TARGETS


def target_of(facts: Mapping[str, Any]) -> Target:
    """Return the target of a store; `facts` are its identity's `benchmark`."""
    form = facts.get("options", {}).get(OPTION) or {}
    return target_named(form.get(TARGET) or label_kind(facts).name)


def parse_decision(value: Any) -> Decision:
    """Return a decision as config.json has it; ValueError if it is not one.

    What has arrays, too, is returned without them.
    """
    if isinstance(value, Decision):
        value = msgspec.to_builtins(value.without_arrays())
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in DECISIONS:
        raise ValueError(f"kind: expected one of {', '.join(DECISIONS)}, got {kind!r}")
    try:
        return msgspec.convert(value, _imported(DECISIONS[kind]))
    except msgspec.ValidationError as error:
        raise ValueError(f"decision: {error}") from error


def _imported(path: str) -> Any:
    module, _, name = path.partition(".")
    return getattr(import_module(f"savs.pipeline.targets.{module}"), name)
