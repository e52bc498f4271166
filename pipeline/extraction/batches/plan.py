"""Which examples are planned and which run together: pure functions of examples and settings."""

from collections.abc import Sequence

from savs.datasets import Example
from savs.foundation.errors import ParameterError
from savs.stores import PlannedRow
from savs.stores.format.plan import ROW_COLUMNS, row_digest


def planned_rows(examples: Sequence[Example]) -> list[PlannedRow]:
    """Return what the plan keeps of each example: its id and a digest of its row."""
    return [
        PlannedRow(
            example.id,
            row_digest(
                {name: getattr(example, name) for name in ROW_COLUMNS}
                | {"media": list(example.media), "extra": dict(example.extra)}
            ),
        )
        for example in examples
    ]


def make_batches(examples: Sequence[Example], size: int) -> list[list[int]]:
    """Return the places of the examples that run together, of similar length, so little is padded.

    A batch has one number of images: some models are wrong where it differs within a batch.
    Examples are ordered by number of images, then by length of the prompt, then by place.

    Examples
    --------
    >>> long, short = (Example(str(n), "test", n, "x", "?" * n) for n in (9, 1))
    >>> make_batches([long, short, long], 2)
    [[1, 0], [2]]
    """
    if size < 1:
        raise ParameterError(f"the batch size is {size}, expected at least 1")
    order = sorted(
        range(len(examples)), key=lambda i: (len(examples[i].media), len(examples[i].prompt), i)
    )
    batches: list[list[int]] = []
    for place in order:
        last = batches[-1] if batches else []
        alike = last and len(examples[last[0]].media) == len(examples[place].media)
        if alike and len(last) < size:
            last.append(place)
        else:
            batches.append([place])
    return batches
