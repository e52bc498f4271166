"""A user's readout as savs calls it: what its functions raise and give is checked in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError
from savs.foundation.plugin_calls import calling, is_ours, place_of
from savs.pipeline.errors import OwnCodeError
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.heads.scoring import checked_scores, finite_numbers
from savs.pipeline.readouts.heads_fit import ClassScores, HeadsFit
from savs.pipeline.readouts.readout import Fitted, Readout, Widths


def guarded(rule: Readout) -> Readout:
    """Return a readout whose functions fail with one line, and give what they must.

    One of savs's own functions, such as `calm_readout` with other settings, is returned as it is.
    """
    functions = (rule.fit, rule.load, rule.score_heads, rule.fit_numbers)
    if all(function is None or is_ours(function) for function in functions):
        return rule
    own = OwnReadout(rule)
    return replace(
        rule,
        fit=own.fit,
        load=None if rule.load is None else own.load,
        score_heads=rule.score_heads if is_ours(rule.score_heads) else own.score_heads,
        fit_numbers=None if rule.fit_numbers is None else own.fit_numbers,
    )


@dataclass(frozen=True, slots=True)
class OwnReadout:
    """The functions of a user's readout, each called in a guard.

    Raises
    ------
    OwnCodeError
        One fails, or gives something else than `Readout` says.
    """

    rule: Readout

    def fit(
        self, features: Array, labels: Array, classes: Sequence[str], widths: Widths, **texts: Any
    ) -> Fitted:
        """Fit it, and check the arrays of the fit."""
        arguments = (features, labels, classes, widths)
        return self._fitted(self.rule.fit, arguments, len(classes), texts)

    def fit_numbers(self, features: Array, labels: Array, clusters: Array) -> Fitted:
        """Fit it to numbers, and check the arrays of the fit."""
        assert self.rule.fit_numbers is not None
        return self._fitted(self.rule.fit_numbers, (features, labels, clusters), 1, {})

    def load(self, **arrays: Array) -> Fitted:
        """Make a fit from its arrays."""
        assert self.rule.load is not None
        with self._calling(self.rule.load):
            return self._as_fit(self.rule.load(**arrays), self.rule.load, None)

    def score_heads(self, features: Array, *given: Any, **texts: Any) -> HeadScores:
        """Score heads, and check that each has a score and a margin."""
        function = self.rule.score_heads
        with self._calling(function):
            head_scores = function(features, *given, **texts)

        def wrong(what: str) -> OwnCodeError:
            return self._wrong(function, what)

        checked = checked_scores(head_scores, len(features), wrong)
        sets = tuple(checked_scores(of_set, len(features), wrong) for of_set in head_scores.sets)
        if sets and (len(sets) != self.rule.parts or self.rule.parts == 1):
            raise wrong(f"gives {len(sets)} sets of scores, and `parts` is {self.rule.parts}")
        return replace(checked, sets=sets)

    def _fitted(
        self,
        function: Callable[..., Fitted],
        given: tuple[Any, ...],
        classes: int,
        texts: dict[str, Any],
    ) -> Fitted:
        features: Array = given[0]
        heads, examples, width = features.shape
        with self._calling(function):
            fitted = function(*given, **texts)
        if self.rule.load is None and not isinstance(fitted, HeadsFit):
            raise self._wrong(function, f"gives a {type(fitted).__name__}, expected a HeadsFit")
        with self._calling(function):
            arrays = {name: np.asarray(getattr(fitted, name)) for name in self.rule.arrays}
        lengths = {"heads": heads, "classes": classes, "examples": examples, "width": width}
        for name, form in self.rule.forms(lengths).items():
            values = self._numbers(function, name, arrays[name], form.shape)
            if values.dtype != form.dtype:
                what = f"gives {name} of {values.dtype}, expected {form.dtype}"
                raise self._wrong(function, what)
        is_mean = isinstance(fitted, HeadsFit) and fitted.pool == "mean"
        if is_mean and not (arrays["weights"].sum(axis=0) > 0).all():
            raise self._wrong(function, "gives weights whose sum over heads is not above 0")
        return self._as_fit(fitted, function, classes)

    def _as_fit(self, fitted: Any, function: Callable[..., Any], classes: int | None) -> Fitted:
        if not callable(getattr(fitted, "scores", None)):
            what = f"gives a {type(fitted).__name__}, expected a fit with scores(features)"
            raise self._wrong(function, what)
        return fitted if is_ours(type(fitted)) else OwnFit(self, fitted, classes)

    def scores(self, fitted: Any, features: Array, classes: int | None) -> ClassScores:
        """Score features by a fit of so many classes, if that is known."""
        function = type(fitted).scores
        with self._calling(function):
            class_scores = fitted.scores(features)
        if not isinstance(class_scores, ClassScores):
            raise self._wrong(
                function, f"gives a {type(class_scores).__name__}, expected ClassScores"
            )
        choice = np.asarray(class_scores.choice)
        width = np.shape(class_scores.scores)[-1] if np.ndim(class_scores.scores) else 0
        known = width if classes is None else classes
        count = features.shape[1]
        names = ("scores", "soft")
        scores, soft = (
            self._numbers(function, name, getattr(class_scores, name), (count, known))
            for name in names
        )
        self._numbers(function, "choice", choice, (count,))
        if choice.dtype.kind not in "iu":
            raise self._wrong(function, f"gives choice of {choice.dtype}, expected whole numbers")
        if count and not 0 <= choice.min() <= choice.max() < known:
            wrong = choice.min() if choice.min() < 0 else choice.max()
            what = f"gives the class number {wrong}, expected 0 to {known - 1}"
            raise self._wrong(function, what)
        return ClassScores(scores.astype(np.float32), choice, soft.astype(np.float32))

    def _numbers(
        self, function: Callable[..., Any], name: str, values: Any, shape: tuple[int, ...]
    ) -> Array:
        return finite_numbers(name, values, shape, lambda what: self._wrong(function, what))

    def _calling(self, function: Callable[..., Any]) -> Any:
        return calling(function, self._fault, SavsError)

    def _wrong(self, function: Callable[..., Any], what: str) -> OwnCodeError:
        return self._fault(place_of(function), what)

    def _fault(self, place: str, what: str) -> OwnCodeError:
        return OwnCodeError(f"{place} of the readout {self.rule.name!r} {what}; fix the readout")


@dataclass(frozen=True, slots=True)
class OwnFit:
    """A fit of a user's readout; its arrays are the attributes of the user's object."""

    readout: OwnReadout
    fitted: Any
    classes: int | None
    """None where arrays alone were read."""

    def scores(self, features: Array) -> ClassScores:
        """Score features, and check what comes."""
        return self.readout.scores(self.fitted, features, self.classes)

    def __getattr__(self, name: str) -> Any:
        if name not in self.readout.rule.arrays:
            raise AttributeError(name)
        return getattr(self.fitted, name)
