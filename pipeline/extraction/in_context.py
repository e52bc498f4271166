"""Answers behind demonstrations: labelled examples as chat turns before the question.

All questions of a subtask share its demonstrations, which run once. A question runs behind a copy
of their cache, without what its own prompt begins with (a system text), and its labels behind that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from savs.pipeline.extraction.model.answers import Asked
from savs.pipeline.extraction.model.caches import behind, widened
from savs.pipeline.extraction.model.label_likelihood import (
    IDS,
    MASK,
    Begun,
    likelihoods,
    positions_and_next,
)
from savs.pipeline.extraction.model.loaded_model import LoadedModel

NO_CONTEXT = -1
"""Of a prompt that is not asked behind demonstrations."""


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """The demonstrations of a subtask, as the model has read them."""

    begun: Begun
    """Their cache, of one row."""
    head: int
    """Tokens that a prompt by itself begins with, and behind demonstrations does not."""

    @property
    def tokens(self) -> int:
        """Their length."""
        return self.begun.mask.shape[1]

    def answer(
        self, model: LoadedModel, arguments: Mapping[str, Any], asked: Asked
    ) -> torch.Tensor:
        """Return `(batch, labels)` log-likelihoods of labels behind questions of one length.

        Parameters
        ----------
        model
            Has read the demonstrations.
        arguments
            What its forward takes for the questions alone, on its device, padded on the left.
        asked
            Their labels.
        """
        with torch.inference_mode():
            return likelihoods(model.model, self._begin(model, arguments), asked)

    def _begin(self, model: LoadedModel, arguments: Mapping[str, Any]) -> Begun:
        """Run questions behind the demonstrations."""
        shape = arguments[IDS].shape
        start = int(shape[1] - arguments[MASK][0].sum()) + self.head
        given = {
            name: value[:, start:] if torch.is_tensor(value) and value.shape[:2] == shape else value
            for name, value in arguments.items()
        }
        device = given[IDS].device
        seen = self.begun.mask.expand(shape[0], -1).to(device)
        given[MASK] = torch.cat([seen, torch.ones_like(given[IDS])], dim=1)
        after = None
        if self.begun.next_positions is not None:
            found = positions_and_next(model.model, arguments)
            assert found is not None  # as of the demonstrations
            moved = self.begun.next_positions[:, :1].to(device) - self.head
            given["position_ids"] = found[0][:, :, start:] + moved[:, :, None]
            after = found[1] + moved
        cache = widened(self.begun.cache, [0] * shape[0], device)
        logits = model.model(**given, **behind(cache), logits_to_keep=1).logits
        return Begun(given, cache, after, logits[:, -1])


def alike(lengths: Sequence[int], contexts: Sequence[int], most: int) -> list[slice]:
    """Return the rows of a batch that are answered together: side by side and of one length.

    Rows without demonstrations are left out.

    Examples
    --------
    >>> alike([5, 5, 5, 6, 6, 6], [0, 0, 0, 0, 1, -1], most=2)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    found = []
    for (_, context), run in groupby(
        range(len(lengths)), key=lambda row: (lengths[row], contexts[row])
    ):
        rows = list(run)
        if context != NO_CONTEXT:
            found += [
                slice(rows[place], rows[min(place + most, len(rows)) - 1] + 1)
                for place in range(0, len(rows), most)
            ]
    return found
