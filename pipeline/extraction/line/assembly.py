"""A shard while it is made: rows get their features in any order, until all are accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from savs.datasets import Example
from savs.foundation.arrays import Array
from savs.pipeline.extraction.model.answers import ANSWERS, ICL, Answers
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.model.sites import HEADS
from savs.pipeline.inputs.stored_rows import example_columns
from savs.stores import ShardContent, ShardSpec
from savs.stores.format.layout import STORED_DTYPES, head_name
from savs.stores.shard.content import endless_row, is_finite

NOT_FINITE = "is NaN or infinite"
"""Part of the reason of rows that were skipped for what the model made of them."""


@dataclass(eq=False)
class Assembly:
    """The rows of one shard, some of them done."""

    spec: ShardSpec
    examples: Sequence[Example]
    """In the order of the plan."""
    points: Sequence[HookPoint]
    dtype: str
    answers: Answers
    thumbnails: bool
    _digests: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Place of a row -> SHA-256 of its media."""
    _reasons: dict[int, str] = field(default_factory=dict)
    """Place of a row that is skipped -> why."""
    _is_planned: bool = False
    """Whether all requests of the shard are known."""
    _is_handed_over: bool = False
    """Whether `content` was asked for."""
    _waiting: dict[int, list[int]] = field(default_factory=dict)
    """Number of a request -> places of the rows that wait for it."""
    _done: dict[int, int] = field(default_factory=dict)
    """Number of a request that is done or refused -> place of a row that it was for."""
    _small: dict[int, bytes] = field(default_factory=dict)
    """Place of a row -> thumbnail."""

    def __post_init__(self) -> None:
        self._layers: list[Array] = []
        self._outputs = self.answers.room(len(self.examples))

    @property
    def is_ready(self) -> bool:
        """Whether every row has its features or a reason, and `content` was not asked for yet."""
        return self._is_planned and not self._waiting and not self._is_handed_over

    def take(
        self, skipped: Mapping[int, str], digests: Mapping[int, tuple[str, ...]], *, is_last: bool
    ) -> None:
        """Take over what is known of some rows: why they are skipped, digests of their media.

        `is_last` says that no other rows will follow.
        """
        self._reasons.update(skipped)
        self._digests.update(digests)
        self._is_planned = is_last

    def wait_for(self, request: int, place: int) -> None:
        """Let a row wait for a request."""
        self._waiting.setdefault(request, []).append(place)

    def fill(self, columns: Mapping[int, int], read: Read, thumbnails: Mapping[int, bytes]) -> int:
        """Give all rows that wait for some requests their features; return how many they are.

        `columns` says which column of a batch is whose; `thumbnails` are those of the requests.
        """
        if not self._layers:
            self._make_room()
        places: list[int] = []
        sources: list[int] = []
        for request, column in columns.items():
            waiting = self._pop(request)
            places += waiting
            sources += [column] * len(waiting)
            if request in thumbnails:
                self._small.update(dict.fromkeys(waiting, thumbnails[request]))
        rows, columns_read = _as_slice(places), _as_slice(sources)
        for layer, heads in zip(self._layers, read.heads, strict=True):
            layer[:, rows] = heads[:, columns_read]
        for name, values in read.outputs.items():
            self._outputs[name][rows] = values[columns_read]
        return len(places)

    def _pop(self, request: int) -> list[int]:
        places = self._waiting.pop(request)
        self._done[request] = places[0]
        return places

    def _make_room(self) -> None:
        rows, stored = len(self.examples), STORED_DTYPES[self.dtype]
        grids = [point.grid for point in self.points]
        self._layers = [np.empty((len(g.heads), rows, g.head_dim), stored) for g in grids]

    def of(self, request: int) -> tuple[Read, dict[int, bytes]]:
        """Return what this shard has of a request that is done, and its thumbnail, if any."""
        place = self._done[request]
        heads = [values[:, [place]] for values in self._layers]
        small = {request: self._small[place]} if place in self._small else {}
        outputs = {name: values[[place]] for name, values in self._outputs.items()}
        return Read(heads, outputs), small

    def rows(self) -> dict[int, int]:
        """Return the requests with features -> the row of each in the shard's file."""
        skipped = np.cumsum([place in self._reasons for place in range(len(self.examples))])
        return {
            request: place - int(skipped[place])
            for request, place in self._done.items()
            if place not in self._reasons
        }

    def refuse(self, request: int, reason: str) -> int:
        """Skip all rows that wait for a request; return how many they are."""
        places = self._pop(request)
        self._reasons.update(dict.fromkeys(places, reason))
        return len(places)

    def contents(self, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, ShardContent]:
        """Return what the file of each site holds; `runs` has the record of each."""
        self._is_handed_over = True
        places = [place for place in range(len(self.examples)) if place not in self._reasons]
        skipped = sorted(self._reasons)
        columns = self._columns(places)
        if not self._layers:
            self._make_room()
        if self.thumbnails:
            columns["thumbnail"] = [self._small.get(place) for place in places]
        reasons = {"reason": [self._reasons[place] for place in skipped]}
        outputs = {name: values[places] for name, values in self._outputs.items()}
        layers: dict[str, dict[int, Array]] = {label: {} for label in runs}
        for point, values in zip(self.points, self._layers, strict=True):
            features = values.take(places, axis=1) if skipped else values
            layers[point.site.label][point.grid.layer] = features
        return {
            label: ShardContent(
                layers=layers[label],
                examples=columns,
                skipped=self._columns(skipped) | reasons,
                run=run,
                outputs=outputs,
            )
            for label, run in runs.items()
        }

    def _columns(self, places: Sequence[int]) -> dict[str, list[Any]]:
        rows = [self.examples[place] for place in places]
        return example_columns(rows, [self._digests.get(place, ()) for place in places])


def _as_slice(places: list[int]) -> list[int] | slice:
    """Return an index of places: a slice, of which numpy makes no copy, where they are in a row."""
    if places and places == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return places


def find_faults(read: Read, points: Sequence[HookPoint], dtype: str) -> dict[int, str]:
    """Return column of a batch -> why it cannot be kept: the first head, or an answer, with NaN."""
    faults: dict[int, str] = {}
    for point, values in zip(points, read.heads, strict=True):
        if endless_row(values, dtype) is None:
            continue
        site = "" if point.site.label == HEADS else f"{point.site.label} "
        finite = np.all(is_finite(values, dtype), axis=2)
        for column in np.flatnonzero(~finite.all(axis=0)):
            head = point.grid.heads[int(np.argmin(finite[:, column]))]
            faults.setdefault(
                int(column),
                f"{site}{head_name((point.grid.layer, head))} {NOT_FINITE} in {dtype}; run"
                " the model in the type that it was trained in, or with `dtype` float32",
            )
    likelihoods = [read.outputs[name] for name in (ANSWERS, ICL) if name in read.outputs]
    endless = [np.flatnonzero(np.isinf(values).any(axis=1)) for values in likelihoods]
    for column in chain.from_iterable(endless):  # NaN stands for a label that was not asked
        faults.setdefault(
            int(column),
            f"the log-likelihood of a label {NOT_FINITE} in {dtype}; run the model in the"
            " type that it was trained in, or with `dtype` float32",
        )
    return faults
