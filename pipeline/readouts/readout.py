"""The interface of a readout, a rule from head features to class scores, and what rules share."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from savs.foundation.arrays import Array
from savs.foundation.installed import Package
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import BY_CENTROIDS, HeadScores
from savs.pipeline.heads.neurons import score_neurons
from savs.pipeline.readouts.heads_fit import ClassScores
from savs.pipeline.running.user_files import NAME, OwnFile
from savs.stores.format.layout import (
    TEXTS_OF_BENCHMARK,
    TEXTS_OF_FILE,
    TEXTS_OF_NAMES,
    TEXTS_OF_PROMPTS,
)

AXES = ("heads", "rows", "classes", "examples", "width")
"""Axes of a fit's arrays: chosen heads, rows of a `HeadsFit`, classes, training examples, width of
the widest head."""
HEADS_FIT: dict[str, tuple[str | int, ...]] = {
    "directions": ("rows", "classes", "width"),
    "offsets": ("rows", "classes"),
    "weights": ("rows", "classes"),
    "ties": ("rows", 2),
}
"""Axes of the arrays of a `HeadsFit`."""
Widths = Sequence[int]
"""Each head's own width; its features are padded with zeros beyond."""
TEXTS = (TEXTS_OF_FILE, TEXTS_OF_BENCHMARK, TEXTS_OF_PROMPTS)
"""Kinds of class texts, the preferred one first."""
NAMES = (TEXTS_OF_NAMES,)
"""Names alone."""


@dataclass(frozen=True, slots=True)
class ClassTexts:
    """The texts of a subtask's classes in some heads."""

    directions: Array
    """`(heads, classes, d)` float32: of each class the normalised mean of its normalised texts."""
    scale: float | None
    """What a dual encoder multiplies cosines by; None for another model."""


class Fitted(Protocol):
    """A readout fitted to training examples, a `HeadsFit` or an object with the same method.

    Its attributes include `Readout.arrays`.
    """

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads, n, d)` features, heads in the order of the fit, best first."""
        ...


def margins(scores: ClassScores) -> Array:
    """Return how far `(n, 2)` scores prefer the second of two classes, `(n,)`."""
    return scores.soft[:, 1] - scores.soft[:, 0]


class TensorForm(NamedTuple):
    """Shape and type that an array of a fit must have."""

    shape: tuple[int, ...]
    dtype: str
    """`float32` or `int64`."""


def score_heads(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, scoring: str
) -> HeadScores:
    """Score heads by how many training examples are nearest to their own class's centroid."""
    return BY_CENTROIDS[scoring](features, labels, classes)


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
    numbers, the classes, and the widths of the heads; and to `texts`, see there. Where its parts
    have a set of heads each, it gets the keyword `members`: `(heads, parts)` flags of who reads
    what; a part's rows of the other heads have the weight 0."""
    load: Callable[..., Fitted] | None = None
    """Makes a fit that is no `HeadsFit` again from its `arrays`, given by name: its type."""
    arrays: Mapping[str, tuple[str | int, ...]] = field(default_factory=lambda: HEADS_FIT)
    """Attributes of a fit that make it again -> their axes: each of `AXES`, or a number. `labels`
    are int64 class numbers, each class at least once; the others finite float32."""
    parts: int = 1
    """Rows of a `HeadsFit` that a head has."""
    is_nested: bool = False
    """Whether the first heads of a `HeadsFit` are the fit to these alone."""
    has_centroids: bool = False
    """Whether the fit has the class means: a `HeadsFit` as its directions, of a vote of length 1;
    of neurons as `centroids`. Then typicality is computed from them."""
    score_heads: Callable[..., HeadScores] = score_heads
    """Scores all heads from what `fit` gets, and what is left out, see `Scoring.left_out`. With
    `HeadScores.sets` each part chooses its own heads."""
    fit_numbers: Callable[..., Fitted] | None = None
    """Fits `(n,)` float64 numbers in place of classes; gets the `(heads, n, d)` features, these,
    and `(n,)` numbers of clusters, which are left out whole. Scores have one class, whose `soft`
    score is the number. None if a readout cannot."""
    texts: tuple[str, ...] = ()
    """Kinds of class texts; it takes the first that a store has: `fit` and `score_heads`
    then get them as the keyword `texts`, see `ClassTexts`. Empty for a rule of images alone."""
    answers: Literal["", "alone", "next to heads"] = ""
    """Whether `ANSWERS_HEAD` is its only head, or its last, after those that are chosen."""
    learns: bool = True
    """Whether `fit` looks at training examples, and not at class texts alone."""
    calibrates: bool = True
    """Whether scores of left-out training examples are on the scale of those of a fit to all. Not
    where settings are chosen that change the scale."""
    file: OwnFile | None = None
    """None for a built-in readout, and for an object that the caller made."""
    package: Package | None = None
    """The installed package that adds it."""

    def __post_init__(self) -> None:
        if not re.match(NAME, self.name):
            raise ValueError(f"readout {self.name!r}: expected a name of letters, digits, - and _")
        for name, axes in self.arrays.items():
            if not all(isinstance(axis, int) or axis in AXES for axis in axes):
                raise ValueError(f"{name!r} has the axes {axes}, expected some of {AXES}")
        if (self.load is None) != (self.arrays is HEADS_FIT):
            raise ValueError(
                f"readout {self.name!r}: expected `load` and `arrays`, or neither of a HeadsFit"
            )
        is_other = self.has_centroids and not self.of_neurons
        if self.load and (self.is_nested or is_other or self.parts != 1):
            raise ValueError(
                f"readout {self.name!r}: a HeadsFit alone has `is_nested`, `has_centroids` and"
                " `parts`; omit them"
            )
        if self.parts < 1 or (self.parts > 1 and (self.is_nested or self.has_centroids)):
            raise ValueError(
                f"readout {self.name!r}: `parts` is {self.parts}, expected 1, or more where the fit"
                " is not nested and has no centroids"
            )

    @property
    def of_neurons(self) -> bool:
        """Whether it chooses single values of heads, and reads these alone."""
        return self.score_heads is score_neurons

    @property
    def unit(self) -> str:
        """What it chooses: a head, or a neuron."""
        return "neuron" if self.of_neurons else "head"

    def forms(self, lengths: Mapping[str, int]) -> dict[str, TensorForm]:
        """Return the form of each of the arrays, from the length of each axis but `rows`."""
        lengths = {**lengths, "rows": lengths["heads"] * self.parts}
        return {
            name: TensorForm(
                tuple(axis if isinstance(axis, int) else lengths[axis] for axis in axes),
                "int64" if name == "labels" else "float32",
            )
            for name, axes in self.arrays.items()
        }


def require_examples(labels: Array, readout: str) -> None:
    """Raise SelectionError if there is no training example to fit."""
    if not len(labels):
        raise SelectionError(
            f"readout {readout!r} needs training examples, and the store has none; extract with"
            " `train`, or use a readout of names alone: clip or hec-t"
        )
