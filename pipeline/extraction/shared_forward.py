"""Prompts that share images through the model: each image once, and what they begin with once.

Where a chat template puts images before the question, all questions about an image begin with the
same tokens. These run in one pass with a cache; each question then runs as a suffix behind it.
Suffixes are padded on the right, where no token before the padding sees it: padding on the left,
behind a prefix, is silently wrong where attention has a sliding window.
"""

import copy
from collections import Counter
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
LEAST_SAVED = 1024
"""Tokens that a pass behind prefixes must save on a GPU: with fewer, starting two passes instead of
one takes longer than it saves."""
PrefixKey = tuple[tuple[ImageKey, ...], bytes]
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
    sizes: tuple[int, ...]
    """Tokens of each prompt's prefix, which ends with its last image."""
    keys: tuple[PrefixKey, ...]
    """The prefix of each prompt."""


class SharedForward:
    """Runs batches whose images were prepared once for all prompts, see `Prepared.shown`."""

    def __init__(self, model: LoadedModel, scale: PixelScale | None, *, prefixes: bool) -> None:
        """Run images once, and with `prefixes` what prompts begin with, too."""
        self.model = model
        self.features = ImageFeatures(model, scale)
        self.prefixes = prefixes
        self.least_saved = 0 if model.device.type == "cpu" else LEAST_SAVED
        self._last: Prefix | None = None
        """The prefix of the last prompt: the next batch may go on with it."""

    def forget(self) -> None:
        """Drop what is kept on the device: it needs the room."""
        self.features.forget()
        self._last = None

    def forget_prefix(self) -> None:
        """Drop the last prefix: no prompt goes on with it."""
        self._last = None

    def pieces(self, batch: Prepared) -> list[Prepared]:
        """Return a batch in pieces that can run in one pass each, in an order that shares most.

        Prompts that share prefixes of one length are a piece, and those that share none are
        another. The last prompt's piece is the last: the next batch may go on with its prefix.
        """
        if not self.prefixes:
            return [batch]
        layout = self._layout(batch)
        kinds: dict[tuple[bool, int], list[int]] = {}
        for row, (key, size) in enumerate(zip(layout.keys, layout.sizes, strict=True)):
            kinds.setdefault((self._holds(key), size), []).append(row)
        alone: list[int] = []
        found: list[list[int]] = []
        for rows in kinds.values():
            shared = Counter(layout.keys[row] for row in rows)
            once = [
                r for r in rows if shared[layout.keys[r]] == 1 and not self._holds(layout.keys[r])
            ]
            several = [row for row in rows if row not in once]
            if several and self._saves(layout, several):
                found.append(several)
                alone += once
            else:
                alone += rows
        parts = [*found, sorted(alone)] if alone else found
        parts.sort(key=lambda rows: rows[-1])
        return [batch] if len(parts) == 1 else [take(batch, rows) for rows in parts]

    def launch(self, batch: Prepared, answers: Answers = NO_ANSWERS) -> Launched:
        """Start a batch, see `LoadedModel.launch`; what it needs is computed first or was kept."""
        if self.prefixes:
            layout = self._layout(batch)
            if len(set(layout.sizes)) == 1 and self._saves(layout, range(len(layout.keys))):
                return self._behind_prefixes(batch, layout, answers)
        self._last = None
        inputs = self.model.placed(batch.inputs)
        return self.model.run(inputs | self._images(batch, range(len(batch.shown))), answers)

    def _saves(self, layout: Layout, rows: Sequence[int]) -> bool:
        """Return whether prompts with prefixes of one length had better run behind them."""
        new = {layout.keys[row] for row in rows if not self._holds(layout.keys[row])}
        size = layout.sizes[rows[0]]
        has_more = all(int(layout.lengths[row]) > size for row in rows)
        return has_more and (len(rows) - len(new)) * size > self.least_saved

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
            (shown, row[start:end].numpy().tobytes())
            for shown, row, start, end in zip(batch.shown, ids, starts, ends, strict=True)
        )
        return Layout(starts, lengths, tuple((ends - starts).tolist()), keys)

    def _behind_prefixes(self, batch: Prepared, layout: Layout, answers: Answers) -> Launched:
        """Run prefixes of one length, unless they were kept, and all prompts behind them."""
        size = layout.sizes[0]
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
        prefix, self._last = self._last, None
        if prefix is None or not set(layout.keys) <= set(prefix.keys):
            prefix = None  # room for the new one
            prefix = self._run_prefixes(batch, layout, texts, answers)
        suffix = {name: value[..., size:] for name, value in texts.items()}
        suffix["attention_mask"] = torch.ones_like(index)
        arguments = self.model.placed(suffix)
        order = [prefix.keys.index(key) for key in layout.keys]
        arguments |= {"cache": self._widened(prefix, order), "use_cache": True}
        launched = self.model.run(arguments, answers, layout.lengths - size - 1)
        self._last = Prefix(layout.keys[-1:], self._widened(prefix, order[-1:]))
        return launched

    def _run_prefixes(
        self, batch: Prepared, layout: Layout, texts: dict[str, torch.Tensor], answers: Answers
    ) -> Prefix:
        size, keys = layout.sizes[0], tuple(dict.fromkeys(layout.keys))
        firsts = [layout.keys.index(key) for key in keys]
        begin = {name: value[..., firsts, :size] for name, value in texts.items()}
        begin["attention_mask"] = torch.ones_like(begin["input_ids"])
        cache = DynamicCache(config=self.model.model.config.get_text_config())
        arguments = self.model.placed(begin) | self._images(batch, firsts)
        arguments |= {"cache": cache, "use_cache": True}
        with (
            torch.inference_mode(),
            collect_heads(self.model.hook_points, to_the_end=bool(answers)),  # no head is kept
        ):
            self.model.model(**arguments, **({"logits_to_keep": 1} if answers else {}))
        return Prefix(keys, cache)

    def _widened(self, prefix: Prefix, order: Sequence[int]) -> Any:
        """Return a copy of a cache with the rows of `order`; the cache itself stays as it is."""
        wide = copy.copy(prefix.cache)
        wide.layers = [copy.copy(layer) for layer in prefix.cache.layers]
        for layer in wide.layers:  # layers of linear attention keep their states in dictionaries
            own = {name: value.copy() for name, value in vars(layer).items() if type(value) is dict}
            vars(layer).update(own)
        rows = torch.tensor(order).to(self.model.device, non_blocking=True)
        wide.reorder_cache(rows)  # makes new tensors
        return wide

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
