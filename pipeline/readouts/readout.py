"""What a readout is: a rule from head features to class scores. One rule a file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from savs.foundation.arrays import Array
from savs.pipeline.heads.head_scores import HeadScores
from savs.stores.results import TensorForm

AXES = ("heads", "classes", "examples", "width")
"""Axes of a fit's arrays: chosen heads, classes, training examples, width of the widest head."""
NAME = re.compile(r"[\w-]+")
"""Form of a readout's name, which names a folder of results, too."""
DTYPES = ("float32", "int64")
"""Types of the arrays of a fit: finite numbers, and class numbers, each class at least once."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """A readout's scores and choices for n examples."""

    scores: Array
    """`(n, classes)` float32: votes, or probabilities."""
    choice: Array
    """`(n,)` number of the predicted class, by the readout's tie rule."""
    soft: Array
    """`(n, classes)` float32 without ties in practice, for metrics that compare examples."""


class Fitted(Protocol):
    """A readout fitted to training examples."""

    def scores(self, features: Array) -> ClassScores:
        """Score `(heads, n, d)` features, heads in the order of the fit, best first."""
        ...

    def arrays(self) -> Mapping[str, Array]:
        """Return all that was fitted, by name, in the forms of `Readout.arrays`."""
        ...


class ArrayForm(NamedTuple):
    """Shape and type of one array of a fit."""

    axes: tuple[str | int, ...]
    """Each of `AXES`, or a number."""
    dtype: str = "float32"
    """One of `DTYPES`."""


class ReadoutFile(NamedTuple):
    """The Python file that a user's readout was loaded from."""

    name: str
    """Without its folder."""
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256})"


@dataclass(frozen=True, slots=True)
class Readout:
    """One readout; each is a constant in a file of its own.

    Raises
    ------
    ValueError
        `name` is not of the form `NAME`, or `arrays` has an unknown axis or type.
    """

    name: str
    """As the command line spells it."""
    summary: str
    score_heads: Callable[[Array, Array, Sequence[str], Sequence[int], str], HeadScores]
    """Features, class numbers, classes and widths as for `fit`, and the name of a scoring."""
    fit: Callable[[Array, Array, Sequence[str], Sequence[int]], Fitted]
    """`(heads, n, d)` float32 features of the chosen heads, best first; `(n,)` class numbers; the
    classes; each head's own width, beyond which its features are padded with zeros."""
    load: Callable[[Mapping[str, Array]], Fitted]
    """Makes the fit again from what `Fitted.arrays` returned."""
    arrays: Mapping[str, ArrayForm]
    """Forms of what `Fitted.arrays` returns; a saved selection is checked against them."""
    file: ReadoutFile | None = None
    """None for a built-in readout, and for an object that the caller made."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"readout {self.name!r}: expected a name of letters, digits, - and _")
        for name, (axes, dtype) in self.arrays.items():
            known = all(isinstance(axis, int) or axis in AXES for axis in axes)
            if not known or dtype not in DTYPES:
                raise ValueError(
                    f"array {name!r} of readout {self.name!r} has axes {axes} and type {dtype!r},"
                    f" expected axes of {AXES} or numbers, and a type of {DTYPES}"
                )

    def forms(self, lengths: Mapping[str, int]) -> dict[str, TensorForm]:
        """Return the forms of the arrays of a fit, from the length of each of `AXES`."""
        return {
            name: TensorForm(
                tuple(axis if isinstance(axis, int) else lengths[axis] for axis in form.axes),
                form.dtype,
            )
            for name, form in self.arrays.items()
        }
