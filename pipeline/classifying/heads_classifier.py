"""`HeadsClassifier`: the part of savs that takes numbers, as an estimator of scikit-learn."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from savs.datasets.label_texts import number_text, text_of
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.names import DEFAULT_READOUT, shows_defaults
from savs.pipeline.readouts import Readout
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import choose_heads
from savs.pipeline.selection.training_data import TrainingArrays
from savs.pipeline.targets import Target
from savs.pipeline.targets.many import MANY_LABELS
from savs.pipeline.targets.numbers import REGRESSIONS
from savs.pipeline.targets.one import ONE_CLASS
from savs.stores import LayerGrid
from savs.stores.format.layout import grid_widths, holder, pick
from savs.stores.format.manifest import FeatureSource


@shows_defaults
class HeadsClassifier(ClassifierMixin, BaseEstimator):
    """Few-shot classifier of numeric features of heads, with the conventions of scikit-learn.

    It chooses heads and fits a readout, as `select` does, on features that you have.

    Parameters
    ----------
    heads
        How many heads to keep; None for `DEFAULT_HEADS`, or all if there are fewer.
    readout
        `vote`, `lda` or another built-in readout, a Python file, or a `Readout`.
    scoring
        How heads are scored: `resubstitution`, `loo`, `kfold` or `pursuit`.
    head_dim
        Width of a head: the columns of `X` are heads side by side. None: all are one head.

    Attributes
    ----------
    classes_
        `(classes,)` labels, sorted; the numbers of the columns of `y`, where that is a matrix.
    n_features_in_
        Number of columns of `X`.
    heads_
        `(kept,)` numbers of the heads that were chosen, or that the neurons are of, best first;
        where `y` is a matrix those of all labels, each once.

    Examples
    --------
    >>> X = np.array([[1.0, 0.1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [0.1, 1, 1, 0]])
    >>> model = HeadsClassifier(heads=1, head_dim=2).fit(X, ["a", "a", "b", "b"])
    >>> model.heads_, model.predict([[1.0, 0.2, 5, 5]])
    (array([0]), array(['a'], dtype='<U1'))
    """

    def __init__(
        self,
        heads: int | None = None,
        readout: str | Path | Readout = DEFAULT_READOUT,
        scoring: str = "resubstitution",
        head_dim: int | None = None,
    ) -> None:
        self.heads = heads
        self.readout = readout
        self.scoring = scoring
        self.head_dim = head_dim

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - as scikit-learn calls it
        """Choose heads and fit the readout.

        Parameters
        ----------
        X
            `(n, heads * head_dim)` finite numbers.
        y
            `(n,)` labels of two classes or more; or `(n, labels)` of 0 and 1, where an example may
            have many labels. Each label then gets heads, a probability and a threshold of its own,
            from left-out examples if these suffice.

        Raises
        ------
        ValueError
            Shapes do not fit, a number is not finite, or there is one class only.
        """
        X, y = validate_data(self, X, y, dtype=np.float32, multi_output=True)  # noqa: N806
        check_classification_targets(y)
        named = NamedLabels.of(y)
        self.classes_ = named.classes
        features = self._by_head(X)
        count, _, width = features.shape
        grid = (LayerGrid(0, tuple(range(count)), width),)
        source = FeatureSource(model={}, processor={}, dtype="float32", prompt="", grid=grid)
        training = named.training(source, features, [str(row) for row in range(len(X))])
        selection = choose_heads(
            training, heads=self.heads, readout=self.readout, scoring=self.scoring
        )
        if not named.target.has_classes:
            with suppress(SelectionError):  # too few examples
                selection = calibrate(training, selection).selection
        self._heads, self._grid = selection.heads, [*grid_widths(grid)]
        self.heads_ = np.array([head for _, head in map(holder, selection.heads)])
        self._readout, self._target = selection.readout, named.target
        (self._run,) = selection.runs()
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return `(n,)` labels, or `(n, labels)` of 0 and 1."""
        scores = self._scores(X)
        values = self._target.values(scores)
        return self.classes_[values] if self._target.has_classes else values

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return `(n, classes)` shares of votes or scores, in the order of `classes_`.

        They are not calibrated; `sklearn.calibration.CalibratedClassifierCV` does that. Of many
        labels they are the probability of each, which left-out examples calibrated if they suffice.
        """
        scores = self._scores(X)
        return self._target.probabilities(scores, self._readout)

    def _scores(self, X: Any) -> Any:  # noqa: N803
        """Return the scores of `(n, heads * width)` features."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)  # noqa: N806
        return self._run.score(pick(self._by_head(X), self._grid, self._heads))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know: an example may have many labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _by_head(self, values: Array) -> Array:
        """Return `(n, heads * width)` values as `(heads, n, width)`."""
        n, columns = values.shape
        width = columns if self.head_dim is None else self.head_dim
        if not isinstance(width, int | np.integer) or width < 1 or columns % width:
            raise ParameterError(
                f"`head_dim` is {width!r}, which {columns} columns are not a multiple of"
            )
        return np.ascontiguousarray(values.reshape(n, columns // width, width).transpose(1, 0, 2))


@dataclass(frozen=True, slots=True)
class NamedLabels:
    """The labels of scikit-learn as savs has them."""

    target: Target
    texts: list[str]
    """The text of each label, as a store has it."""
    names: tuple[str, ...]
    """Classes or labels, as text."""
    classes: Array
    """The same as scikit-learn has them: labels, sorted; or the numbers of columns."""

    def training(
        self, source: FeatureSource, values: Array, ids: Sequence[str], question: str | None = None
    ) -> TrainingArrays:
        """Return examples with these labels, of `(heads, n, d)` values; an image or a row each."""
        return TrainingArrays(
            source=source,
            values=values,
            labels=self.texts,
            names=self.names,
            ids=ids,
            target=self.target,
            question=question,
            media=None if question is None else 1,
        )

    @classmethod
    def of(cls, y: Any) -> "NamedLabels":
        """Return `(n,)` labels, or `(n, labels)` of 0 and 1, as text."""
        if np.ndim(y) > 1 and type_of_target(y) == "multilabel-indicator":
            matrix = np.asarray(y)
            classes = np.arange(matrix.shape[1])
            names = tuple(map(str, classes))
            texts = [text_of({names[n]: True for n in np.flatnonzero(row)}) for row in matrix]
            return cls(MANY_LABELS, texts, names, classes)
        classes, numbers = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        names = tuple(map(str, classes))
        return cls(ONE_CLASS, [names[n] for n in numbers], names, classes)

    @classmethod
    def of_numbers(cls, y: Any) -> "NamedLabels":
        """Return `(n,)` numbers as text; ValueError if one is not finite."""
        numbers = column_or_1d(y, dtype=np.float64)
        if not np.isfinite(numbers).all():
            place = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise ParameterError(f"number {place} is {numbers[place]}, expected a finite one")
        texts = [number_text(float(number)) for number in numbers]
        return cls(REGRESSIONS, texts, (), np.zeros(0))
