"""What a readout is: a rule from head features to class scores. One rule a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from savs.foundation.arrays import Array
from savs.pipeline.heads.head_scores import HeadScores


@dataclass(frozen=True, slots=True)
class ClassScores:
    """What a readout says of n examples."""

    scores: Array
    """`(n, classes)` float32, in the readout's own unit: votes, probabilities."""
    choice: Array
    """`(n,)` the predicted class's number, the readout's tie rule applied."""
    soft: Array
    """`(n, classes)` float32 without ties in practice, for metrics that compare examples."""


class Fitted(Protocol):
    """A readout fitted to training examples."""

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads, n, d)` features, heads in the order of the fit, best first."""
        ...

    def arrays(self) -> Mapping[str, Array]:
        """Return all that was fitted, by name, so that a selection can be saved."""
        ...


@dataclass(frozen=True, slots=True)
class Readout:
    """One readout; each is a constant in a file of its own."""

    name: str
    """As the command line spells it."""
    summary: str
    score_heads: Callable[[Array, Array, Sequence[str], Sequence[int], str], HeadScores]
    """Features, class numbers, classes and widths as for `fit`, and the name of a scoring."""
    fit: Callable[[Array, Array, Sequence[str], Sequence[int]], Fitted]
    """`(heads, n, d)` float32 features of the chosen heads, best first; `(n,)` class numbers; the
    classes; each head's own width, beyond which its features are padded with zeros."""
    load: Callable[[Mapping[str, Array]], Fitted]
    """What `Fitted.arrays` gave -> the same fit."""
