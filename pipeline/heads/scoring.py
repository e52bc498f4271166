"""Scorings: how heads are scored before the best are chosen, by name or in a user's Python file.

Most score each head alone by nearest centroids, and differ in what they leave out. Others look at
all heads together, or at the scores under each prompt of a store.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError
from savs.foundation.installed import Additions, Package, kind_problem
from savs.foundation.plugin_calls import calling, is_ours, place_of
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.heads.head_scores import BY_CENTROIDS, HeadScores, steady_of, worst_of
from savs.pipeline.heads.pursuit import PURSUIT, name_left_out, pursue
from savs.pipeline.running.user_files import NAME, OwnFile, own_object

Score = Callable[[Array, Array, Sequence[str]], HeadScores]
"""`(heads, n, d)` features, `(n,)` class numbers, the classes -> scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """One way to score heads; the built-in ones are in `SCORINGS`.

    Raises
    ------
    ValueError
        `name` is not of the form `NAME`, or `left_out` is no name in `BY_CENTROIDS`.
    """

    name: str
    """As the command line spells it."""
    score: Score | None = None
    """Scores each head alone, whatever the readout. None: the readout scores them, most by nearest
    centroids."""
    left_out: str = "resubstitution"
    """What is left out of the fits that score: `resubstitution`, `loo` or `kfold`. The strengths of
    heads are counted so, too."""
    of_prompts: Callable[[Sequence[HeadScores]], HeadScores] | None = None
    """Makes one of the scores under each prompt of a store. None: all prompts are examples."""
    of_all: Callable[[HeadScores, Array], HeadScores] | None = None
    """Scores all heads again, from what is known of each alone and the class numbers."""
    file: OwnFile | None = None
    """None for a built-in scoring, and for an object that the caller made."""
    package: Package | None = None
    """The installed package that adds it."""

    def __post_init__(self) -> None:
        if not re.match(NAME, self.name):
            raise ValueError(f"scoring {self.name!r}: expected a name of letters, digits, - and _")
        if self.left_out not in BY_CENTROIDS:
            names = ", ".join(BY_CENTROIDS)
            raise ValueError(f"`left_out` is {self.left_out!r}, expected one of {names}")

    @property
    def is_alone(self) -> bool:
        """Whether the readout scores each head alone, and nothing is made of the scores."""
        return (self.score, self.of_prompts, self.of_all) == (None, None, None)


SCORINGS: dict[str, Scoring] = {
    scoring.name: scoring
    for scoring in (
        *(Scoring(name=name, left_out=name) for name in BY_CENTROIDS),
        Scoring(name=PURSUIT, score=name_left_out, left_out="loo", of_all=pursue),
        # a head shall serve whatever the wording of the prompt
        Scoring(name="worst-prompt", left_out="kfold", of_prompts=worst_of),
        Scoring(name="steady-prompt", left_out="kfold", of_prompts=steady_of),
    )
}
"""Name on the command line -> built-in scoring."""
ADDED_SCORINGS: Additions[Scoring] = Additions(
    "savs.scorings", kind_problem(Scoring), lambda: SCORINGS, OwnCodeError
)
"""Scorings of installed packages."""


def choose_scoring(scoring: str | Path | Scoring) -> Scoring:
    """Return the scoring that a caller gives: by name, in a Python file, or as an object.

    The name of a file ends in `.py`. The file is run: give only names that the user gave.

    SelectionError if there is none of this name, the file has no `SCORING`, or the user's
    scoring has the name of a built-in one; OwnCodeError if the file is not there, or fails when
    it runs; or the entry point of the package does.
    """
    chosen = own_object(scoring, SCORINGS, Scoring)
    if chosen is not None:
        return _guarded(chosen)
    if str(scoring) in SCORINGS:
        return SCORINGS[str(scoring)]
    added = ADDED_SCORINGS.find(str(scoring))
    if added is None:
        known = ", ".join([*SCORINGS, *ADDED_SCORINGS.names()])
        raise SelectionError(
            f"no scoring is called {scoring!r}; expected: {known}, or the path of a Python file"
            " that defines SCORING"
        )
    return _guarded(replace(added.value, package=added.package))


def saved_scoring(name: str, file: OwnFile | None, package: Package | None) -> Scoring:
    """Return the scoring of a saved selection; that of a file cannot score again.

    Files that a selection names are never run. Nor can that of a package that is not installed.
    """
    if file is None and name in SCORINGS:
        return SCORINGS[name]
    if package is not None and name in ADDED_SCORINGS.names():
        return choose_scoring(name)

    def score(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
        if package is not None:
            raise SelectionError(
                f"heads were scored by {name!r}, which needs the package {package}, and that is not"
                " installed; install it, or select again"
            )
        raise SelectionError(
            f"heads were scored by {name!r}{f' of {file}' if file else ''}, and what a selection"
            " names is never run; select again with it as `scoring`, which cross-validates at once"
        )

    return Scoring(name=name, score=score, file=file, package=package)


def _guarded(scoring: Scoring) -> Scoring:
    """Return a scoring whose functions fail with one line, and give a score of each head."""

    def guarded(function: Callable[..., HeadScores] | None) -> Callable[..., HeadScores] | None:
        if function is None or is_ours(function):
            return function

        def fault(place: str, what: str) -> OwnCodeError:
            return OwnCodeError(f"{place} of the scoring {scoring.name!r} {what}; fix the scoring")

        def call(first: Any, *others: Any) -> HeadScores:
            with calling(function, fault, SavsError):
                found = function(first, *others)
            if not isinstance(first, np.ndarray):  # scores, or those under each prompt
                first = (first if isinstance(first, HeadScores) else first[0]).score
            return checked_scores(found, len(first), lambda what: fault(place_of(function), what))

        return call

    return replace(
        scoring,
        score=guarded(scoring.score),
        of_prompts=guarded(scoring.of_prompts),
        of_all=guarded(scoring.of_all),
    )


def checked_scores(found: Any, count: int, wrong: Callable[[str], Exception]) -> HeadScores:
    """Return what a user's function gave as scores of `count` heads; raise what is `wrong`."""
    if not isinstance(found, HeadScores):
        raise wrong(f"gives a {type(found).__name__}, expected HeadScores")
    score, margin = (
        finite_numbers(name, getattr(found, name), (count,), wrong) for name in ("score", "margin")
    )
    return replace(
        found,
        score=score.astype(np.float64),
        margin=margin.astype(np.float64),
        sets=(),
    )


def finite_numbers(
    name: str, values: Any, shape: tuple[int, ...], wrong: Callable[[str], Exception]
) -> Array:
    """Return what a user's function gave as finite numbers of a shape; raise what is `wrong`."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        got = "None" if values is None else f"values of {array.dtype}"
        raise wrong(f"gives {name} as {got}, expected numbers")
    if array.shape != shape:
        raise wrong(f"gives {name} of shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise wrong(f"gives {name} with NaN or infinity")
    return array
