"""The interface of a readout, a rule from head features to class scores, and what rules share."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.centroids import TIE, few_threads, normalise
from savs.pipeline.selection.heads.head_scores import SCORINGS, HeadScores
from savs.stores.format.layout import Sha256, Text

NAME = r"^[\w-]+\Z"
"""Form of a readout's name, which names a folder of results, too."""
AXES = ("heads", "classes", "examples", "width")
"""Axes of a fit's arrays: chosen heads, classes, training examples, width of the widest head."""
Widths = Sequence[int]
"""Each head's own width; its features are padded with zeros beyond."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """A readout's scores and choices for n examples."""

    scores: Array
    """`(n, classes)` float32: votes, or probabilities."""
    choice: Array
    """`(n,)` number of the predicted class, by the readout's tie rule."""
    soft: Array
    """`(n, classes)` float32 without ties in practice, for metrics that compare examples."""

    def part(self, rows: Array | slice) -> "ClassScores":
        """Return those of some examples."""
        return ClassScores(self.scores[rows], self.choice[rows], self.soft[rows])

    @classmethod
    def joined(cls, parts: Sequence["ClassScores"]) -> "ClassScores":
        """Return those of all examples of one part or more, in their order."""
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.choice for part in parts]),
            np.concatenate([part.soft for part in parts]),
        )


class Fitted(Protocol):
    """A readout fitted to training examples. Its attributes include `Readout.arrays`."""

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads, n, d)` features, heads in the order of the fit, best first."""
        ...


@dataclass(frozen=True, slots=True)
class MarginTerms:
    """How far a fit to two classes prefers the second one, as a mean over its heads.

    Of a normalised feature x that is the mean of `bend(direction . x + offset)`: the soft score of
    the second class minus that of the first. Terms of many labels share a product of each head.
    """

    directions: Array
    """`(heads, d)` float32."""
    offsets: Array
    """`(heads,)` float32."""
    is_bent: bool
    """Whether `bend` is tanh(z / 2), the difference of two probabilities; else it is z."""


def margins(scores: ClassScores) -> Array:
    """Return the same of `(n, 2)` scores, `(n,)`."""
    return scores.soft[:, 1] - scores.soft[:, 0]


@dataclass(frozen=True, slots=True)
class ReadoutFile:
    """The Python file that a user's readout was loaded from."""

    name: Text
    """Without its folder."""
    sha256: Sha256

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256})"


class TensorForm(NamedTuple):
    """Shape and type that an array of a fit must have."""

    shape: tuple[int, ...]
    dtype: str
    """`float32` or `int64`."""


def score_heads(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, scoring: str
) -> HeadScores:
    """Score heads by how many training examples are nearest to their own class's centroid."""
    return SCORINGS[scoring](features, labels, classes)


@dataclass(frozen=True, slots=True)
class Readout:
    """One readout; the built-in ones are constants next to what they fit.

    Raises
    ------
    ValueError
        `name` is not of the form `NAME`, or `arrays` has an unknown axis.
    """

    name: str
    """As the command line spells it."""
    summary: str
    fit: Callable[..., Fitted]
    """Fits to `(heads, n, d)` float32 features of the chosen heads, best first, `(n,)` class
    numbers, the classes, and the widths of the heads; and to `texts`, see there."""
    load: Callable[..., Fitted]
    """Makes the fit again from its `arrays`, given by name: the type of the fit."""
    arrays: Mapping[str, tuple[str | int, ...]]
    """Attributes of a fit that make it again -> their axes: each of `AXES`, or a number. `labels`
    are int64 class numbers, each class at least once; the others finite float32."""
    score_heads: Callable[..., HeadScores] = score_heads
    """Scores all heads from what `fit` gets, and the name of a scoring."""
    fit_numbers: Callable[..., Fitted] | None = None
    """Fits `(n,)` float64 numbers in place of classes; gets the `(heads, n, d)` features, these,
    and `(n,)` numbers of clusters, which are left out whole. Scores have one class, whose `soft`
    score is the number. None if a readout cannot."""
    texts: tuple[str, ...] = ()
    """Kinds of class texts; it takes the first that a store has: `fit` and `score_heads`
    then get them as the keyword `texts`, see `ClassTexts`. Empty for a rule of images alone."""
    learns: bool = True
    """Whether `fit` looks at training examples, and not at class texts alone."""
    calibrates: bool = True
    """Whether scores of left-out training examples are on the scale of those of a fit to all. Not
    where settings are chosen that change the scale."""
    file: ReadoutFile | None = None
    """None for a built-in readout, and for an object that the caller made."""

    def __post_init__(self) -> None:
        if not re.match(NAME, self.name):
            raise ValueError(f"readout {self.name!r}: expected a name of letters, digits, - and _")
        for name, axes in self.arrays.items():
            if not all(isinstance(axis, int) or axis in AXES for axis in axes):
                raise ValueError(f"{name!r} has the axes {axes}, expected some of {AXES}")

    def forms(self, lengths: Mapping[str, int]) -> dict[str, TensorForm]:
        """Return the form of each of the arrays, from the length of each of `AXES`."""
        return {
            name: TensorForm(
                tuple(axis if isinstance(axis, int) else lengths[axis] for axis in axes),
                "int64" if name == "labels" else "float32",
            )
            for name, axes in self.arrays.items()
        }


def softmax(values: Array, *, axis: int = -1) -> Array:
    """Return exp(values) normalised along an axis; `values` are overwritten and returned.

    >>> softmax(np.array([0.0, np.log(3)])).round(3).tolist()
    [0.25, 0.75]
    """
    values -= values.max(axis=axis, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=axis, keepdims=True)
    return values


def likeliest(probabilities: Array, tau: float) -> Array:
    """Return the class of greatest probability; of classes whose logits tie the first.

    Of `(n, classes)` means over heads of softmax(logits / tau): logits that differ by `TIE` give
    probabilities that differ by a factor of exp(TIE / tau).

    >>> likeliest(np.array([[0.2, 0.4, 0.4000001]]), 0.07)
    array([1])
    """
    best = probabilities.max(axis=1, keepdims=True)
    return (probabilities >= best * float(np.exp(-TIE / tau))).argmax(axis=1)


def mean_probabilities(
    features: Array, directions: Array, offsets: Array | None, counts: Sequence[int]
) -> Iterator[Array]:
    """Yield `(n, classes)` means over the first heads of each head's class probabilities.

    A logit is the product of one of the `(heads, classes, d)` directions and a feature, normalised
    here, plus one of the `(heads, classes)` offsets. `counts` says how many heads, ascending: there
    is a mean for each.
    """
    n, (_, classes, d) = features.shape[1], directions.shape
    total = np.zeros((n, classes), np.float32)
    with few_threads(n * classes * d):
        for head in range(counts[-1]):  # one at a time: with many classes a table is large
            logits = normalise(features[head]) @ directions[head].T
            if offsets is not None:
                logits += offsets[head]
            total += softmax(logits)
            if head + 1 in counts:
                yield total / np.float32(head + 1)


LogitsOf = Callable[[Array], Array]
"""Returns the logits of some rows in some heads, divided by the temperature: `(m,)` numbers of rows
-> `(heads, m, classes)` float32."""


@dataclass(frozen=True, slots=True)
class MeanOfProbabilities:
    """A fit whose scores are `mean_probabilities`: scores of the first heads come on the way."""

    tau: ClassVar[float]
    """Temperature of the logits."""
    directions: Array = field(init=False, repr=False, compare=False)
    """`(heads, classes, d)` float32, divided by the temperature."""
    offsets: Array | None = field(init=False, repr=False, compare=False, default=None)
    """`(heads, classes)` float32."""

    def scores(self, features: Array) -> ClassScores:
        """Return mean probabilities; `likeliest` chooses."""
        return next(self.nested(features, [len(self.directions)]))

    def nested(self, features: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
        """Yield the scores of the first heads alone, as many as each of `counts`, ascending."""
        means = mean_probabilities(features, self.directions, self.offsets, counts)
        for heads, mean in zip(counts, means, strict=True):
            yield self.choose(mean, heads, partial(self.logits, features[:heads]))

    def choose(self, mean: Array, heads: int, logits_of: LogitsOf) -> ClassScores:
        """Return the scores that `(n, classes)` mean probabilities of the first heads are."""
        return ClassScores(mean, likeliest(mean, self.tau), mean)

    def terms(self) -> MarginTerms:
        """Return the terms whose mean is the margin of two classes."""
        offsets = np.zeros(self.directions.shape[:2]) if self.offsets is None else self.offsets
        directions, apart = (values[:, 1] - values[:, 0] for values in (self.directions, offsets))
        return MarginTerms(directions, apart.astype(np.float32), is_bent=True)

    def logits(self, features: Array, rows: Array) -> Array:
        """Return the logits of some rows, as `LogitsOf`, from features of the first heads."""
        heads, (_, classes, d) = len(features), self.directions.shape
        with few_threads(len(rows) * classes * d):
            logits = normalise(features[:, rows]) @ self.directions[:heads].swapaxes(1, 2)
        return logits if self.offsets is None else logits + self.offsets[:heads, None]


def require_examples(labels: Array, readout: str) -> None:
    """Raise SelectionError if there is no training example to fit."""
    if not len(labels):
        raise SelectionError(
            f"readout {readout!r} needs training examples, and the store has none; extract with"
            " `train`, or use a readout of names alone: clip or hec-t"
        )
