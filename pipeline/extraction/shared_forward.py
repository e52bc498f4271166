"""Prompts that share images through the model: each image once, and what they begin with once.

Where a chat template puts images before the question, all questions about an image begin with the
same tokens. These run in one pass with a cache; each question then runs as a suffix behind it.
Suffixes are padded on the right, where no token before the padding sees it: padding on the left,
behind a prefix, is silently wrong where attention has a sliding window.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from transformers import DynamicCache

from savs.pipeline.extraction.batches.jobs import ImageKey, Prepared
from savs.pipeline.extraction.model.attention_hooks import collect_heads
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.image_features import ImageFeatures
from savs.pipeline.extraction.model.loaded_model import Launched, LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.shared_inputs import GRID

IMAGE_TOKENS = ("image_token_id", "image_token_index")
"""What configurations call the token that stands for a part of an image."""
PrefixKey = tuple[tuple[ImageKey, ...], tuple[int, ...]]
"""Images and tokens of a prefix: what must be equal for prompts to share it."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The cache of prefixes of one length that ran together."""

    keys: tuple[PrefixKey, ...]
    cache: Any


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the prompts of a batch, padded on the left, begin and how far their images reach."""

    starts: torch.Tensor
    """`(batch,)` first token that is no padding."""
    lengths: torch.Tensor
    """`(batch,)` tokens without padding."""
    keys: tuple[PrefixKey, ...]
    """The prefix of each prompt: its tokens up to its last image."""

    @property
    def tokens(self) -> list[int]:
        """Tokens of each prefix."""
        return [len(ids) for _, ids in self.keys]


class SharedForward:
    """Runs batches whose images were prepared once for all prompts, see `Prepared.shown`."""

    def __init__(self, model: LoadedModel, scale: PixelScale | None, *, prefixes: bool) -> None:
        """Run images once, and with `prefixes` what prompts begin with, too."""
        self.model = model
        self.features = ImageFeatures(model, scale)
        self.prefixes = prefixes
        self._last: Prefix | None = None
        """The prefixes that ran last: the next batch may go on with one of them."""

    def forget(self) -> None:
        """Drop what is kept on the device: it needs the room."""
        self.features.forget()
        self._last = None

    def pieces(self, batch: Prepared) -> list[Prepared]:
        """Return a batch in pieces that can run in one pass each, in an order that shares most.

        Prompts whose prefix is not shared are a piece, those that share prefixes of one length are
        another. The last prompt's piece is the last: the next batch may go on with its prefix.
        """
        if not self.prefixes:
            return [batch]
        layout = self._layout(batch)
        rows: dict[tuple[str, int], list[int]] = {}
        for row, key in enumerate(layout.keys):
            length = len(key[1])
            if self._holds(key) and length < layout.lengths[row]:
                kind = ("held", length)
            elif layout.keys.count(key) > 1 and length < layout.lengths[row]:
                kind = ("shared", length)
            else:
                kind = ("alone", 0)
            rows.setdefault(kind, []).append(row)
        found = sorted(rows.values(), key=lambda part: part[-1])
        return [batch] if len(found) == 1 else [take(batch, part) for part in found]

    def launch(self, batch: Prepared, answers: Answers = NO_ANSWERS) -> Launched:
        """Start a batch, see `LoadedModel.launch`; what it needs is computed first or was kept."""
        if self.prefixes:
            layout = self._layout(batch)
            distinct = set(layout.keys)
            one_length = len(set(layout.tokens)) == 1
            goes_on = bool((layout.lengths > layout.tokens[0]).all())
            shared = len(distinct) < len(layout.keys) or all(map(self._holds, distinct))
            if one_length and goes_on and shared:
                return self._behind_prefixes(batch, layout, answers)
        inputs = self.model.placed(batch.inputs)
        return self.model.run(inputs | self._images(batch, range(len(batch.shown))), answers)

    def _holds(self, key: PrefixKey) -> bool:
        return self._last is not None and key in self._last.keys

    def _images(self, batch: Prepared, rows: Sequence[int]) -> dict[str, Any]:
        shown = chain.from_iterable(batch.shown[row] for row in rows)
        return {"mm_encoder_outputs": {"image": self.features.of(shown, batch.vision)}}

    def _layout(self, batch: Prepared) -> Layout:
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        lengths = mask.sum(dim=1)
        starts = ids.shape[1] - lengths
        columns = torch.arange(ids.shape[1])
        ends = torch.where(ids == _image_token(self.model), columns + 1, 0).amax(dim=1)
        keys = tuple(
            (shown, tuple(row[start:end].tolist()))
            for shown, row, start, end in zip(batch.shown, ids, starts, ends, strict=True)
        )
        return Layout(starts, lengths, keys)

    def _behind_prefixes(self, batch: Prepared, layout: Layout, answers: Answers) -> Launched:
        """Run prefixes of one length, unless they were kept, and all prompts behind them."""
        size = layout.tokens[0]
        columns = torch.arange(int(layout.lengths.max()))
        index = (layout.starts[:, None] + columns).clamp(max=batch.inputs["input_ids"].shape[1] - 1)
        texts = {
            name: value.gather(1, index)
            for name, value in batch.inputs.items()
            if name not in ("attention_mask", GRID)
        }
        positions = self._positions(batch)
        if positions is not None:
            texts["position_ids"] = positions.gather(2, index.expand(len(positions), -1, -1))
        prefix = self._last
        if prefix is None or not set(layout.keys) <= set(prefix.keys):
            self._last = None  # room for the new one
            prefix = self._run_prefixes(batch, layout, texts)
        self._last = prefix
        order = torch.tensor([prefix.keys.index(key) for key in layout.keys])
        suffix = {name: value[..., size:] for name, value in texts.items()}
        suffix["attention_mask"] = torch.ones_like(index)
        arguments = self.model.placed(suffix)
        arguments |= {"cache": widened(prefix.cache, order), "use_cache": True}
        ends = (layout.lengths - size - 1).to(self.model.device)
        return self.model.run(arguments, answers, ends)

    def _run_prefixes(
        self, batch: Prepared, layout: Layout, texts: dict[str, torch.Tensor]
    ) -> Prefix:
        size, keys = layout.tokens[0], tuple(dict.fromkeys(layout.keys))
        firsts = [layout.keys.index(key) for key in keys]
        begin = {name: value[..., firsts, :size] for name, value in texts.items()}
        begin["attention_mask"] = torch.ones_like(begin["input_ids"])
        cache = DynamicCache(config=self.model.model.config.get_text_config())
        arguments = self.model.placed(begin) | self._images(batch, firsts)
        with (
            torch.inference_mode(),
            collect_heads(self.model.hook_points, to_the_end=False),  # no head is kept
        ):
            self.model.model(**arguments, cache=cache, use_cache=True)
        return Prefix(keys, cache)

    def _positions(self, batch: Prepared) -> torch.Tensor | None:
        """Return `(axes, batch, tokens)` positions of whole prompts, where images have several."""
        inner = getattr(self.model.model, "model", self.model.model)
        if not hasattr(inner, "get_rope_index"):
            return None
        inputs = batch.inputs
        found, _ = inner.get_rope_index(
            inputs["input_ids"],
            inputs["mm_token_type_ids"],
            image_grid_thw=inputs.get(GRID),
            attention_mask=inputs["attention_mask"],
        )
        return found


def widened(cache: Any, order: torch.Tensor) -> Any:
    """Return a copy of a cache whose rows are those of `order`; the cache itself stays as it is."""
    wide = copy.copy(cache)
    wide.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in wide.layers:  # layers of linear attention keep their states in dictionaries
        own = {name: value.copy() for name, value in vars(layer).items() if type(value) is dict}
        vars(layer).update(own)
    wide.reorder_cache(order)  # makes new tensors
    return wide


def take(batch: Prepared, rows: Sequence[int]) -> Prepared:
    """Return some prompts of a batch whose images were prepared once for all."""
    inputs = {}
    for name, value in batch.inputs.items():
        each = value.unflatten(0, (len(batch.requests), -1))  # a grid has an item an image
        inputs[name] = each[list(rows)].flatten(0, 1)
    shown = tuple(batch.shown[row] for row in rows)
    seen = set(chain.from_iterable(shown))
    return Prepared(
        requests=tuple(batch.requests[row] for row in rows),
        inputs=inputs,
        images=batch.images,
        shown=shown,
        vision={key: value for key, value in batch.vision.items() if key in seen},
    )


def _image_token(model: LoadedModel) -> int:
    config = model.model.config
    return next(int(getattr(config, name)) for name in IMAGE_TOKENS if hasattr(config, name))
