"""Prompts that share images through the model: each image once, and what they begin with once.

An image by itself is the same whatever prompt shows it, so it is read, cut into patches and run
through the vision tower once, and its features are kept while there is room.

Where a chat template puts images before the question, all questions about an image begin with the
same tokens. These run in one pass with a cache; each question then runs as a suffix after it.
Suffixes are padded on the right, where no token before the padding sees it: padding on the left,
after a prefix, is silently wrong where attention has a sliding window.
"""

import inspect
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch

from savs.pipeline.extraction.line.jobs import ImageKey, Prepared
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.model.answers import ANSWERS, NOTHING, AnswerQuery
from savs.pipeline.extraction.model.continuation import (
    Continuation,
    image_positions,
    positions_and_next,
    unread,
    use,
)
from savs.pipeline.extraction.model.devices import moved
from savs.pipeline.extraction.model.hook_points import image_tokens
from savs.pipeline.extraction.model.host_inputs import tower_inputs
from savs.pipeline.extraction.model.loaded_model import NO_OUTPUTS, LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.reading import Features, Launched
from savs.pipeline.extraction.model.sites import IMAGE_MEAN
from savs.pipeline.prompts.input_names import (
    GRID,
    IDS,
    MASK,
    NEXT_POSITIONS,
    PIXELS,
    POSITIONS,
    TEXT,
)

LEAST_SAVED = 1024
"""Tokens that a pass after prefixes must save on a GPU: with fewer, starting two passes instead of
one takes longer than it saves."""
PrefixKey = tuple[tuple[ImageKey, ...], bytes]
"""Images and tokens of a prefix: what must be equal for prompts to share it."""
MOST_BYTES = 2**29
"""Features of images that are kept on the device at most: 290 images of 256 tokens of a 7B."""
POOLED = "pooler_output"
"""Where the field has what the decoder reads: a tensor, or one tensor an image or a tile."""
UNUSED = ("last_hidden_state", "hidden_states", "attentions")
"""What the decoder does not read."""
NO_STATES: Mapping[str, Any] = {"last_hidden_state": None}
"""What some outputs cannot be made without."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prefixes of one length that ran together."""

    keys: tuple[PrefixKey, ...]
    prompts: Continuation
    means: Features
    """Means over the images of each, which depend on nothing after them."""


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


class SharedForward:
    """Runs batches whose images were prepared once for all prompts; see `Prepared.image_keys`."""

    def __init__(
        self, model: LoadedModel, scale: PixelScale | None, settings: PassSettings
    ) -> None:
        """Run images once, and if the settings say so, what prompts begin with, too."""
        self.model = model
        self.features = ImageFeatures(model, scale, host_inputs=settings.host_inputs)
        self.settings = settings
        self.least_saved = 0 if model.device.type == "cpu" else LEAST_SAVED
        self._last: Prefix | None = None
        """The prefix of the last prompt: the next batch may go on with it."""

    def forget(self) -> None:
        """Drop what is kept on the device: it needs the room."""
        self.features.forget()
        self._last = None

    def forget_prefix(self) -> None:
        """Drop the last prefix: no prompt continues from it."""
        self._last = None

    def pieces(self, batch: Prepared) -> list[Prepared]:
        """Return a batch in pieces that can run in one pass each, in an order that shares most.

        Prompts that share prefixes of one length are a piece, and those that share none are
        another. The last prompt's piece is the last: the next batch may go on with its prefix.
        """
        if not self.settings.shares_prefixes:
            return [batch]
        layout = self._layout(batch)
        kinds: dict[tuple[bool, int], list[int]] = {}
        for row, (key, size) in enumerate(zip(layout.keys, layout.sizes, strict=True)):
            kinds.setdefault((self._holds(key), size), []).append(row)
        alone: list[int] = []
        sharing: list[list[int]] = []
        for rows in kinds.values():
            shared = Counter(layout.keys[row] for row in rows)
            once = [
                r for r in rows if shared[layout.keys[r]] == 1 and not self._holds(layout.keys[r])
            ]
            several = [row for row in rows if row not in once]
            # a prefix that only one prompt has saves nothing, and would cost a pass of its own
            if several and self._saves(layout, several):
                sharing.append(several)
                alone += once
            else:
                alone += rows
        parts = [*sharing, sorted(alone)] if alone else sharing
        parts.sort(key=lambda rows: rows[-1])
        return [batch] if len(parts) == 1 else [batch.take(rows) for rows in parts]

    def launch(self, batch: Prepared, query: AnswerQuery = NOTHING) -> Launched:
        """Start a batch, see `LoadedModel.launch`; what it needs is computed first or was kept."""
        if self.settings.shares_prefixes:
            layout = self._layout(batch)
            if len(set(layout.sizes)) == 1 and self._saves(layout, range(len(layout.keys))):
                return self._after_prefixes(batch, layout, query)
        self._last = None
        positions = {}
        if self.settings.host_inputs and (
            known := positions_and_next(self.model.model, batch.inputs)
        ):
            names = (POSITIONS, NEXT_POSITIONS) if query else (POSITIONS,)
            positions = dict(zip(names, known, strict=False))
        return self.model.run(self.whole_arguments(batch) | self.model.placed(positions), query)

    def whole_arguments(self, batch: Prepared) -> dict[str, Any]:
        """Return what the model's forward takes for whole prompts, images computed once."""
        images = self._images(batch, range(len(batch.image_keys)))
        return self.model.placed(batch.inputs) | images

    def _saves(self, layout: Layout, rows: Sequence[int]) -> bool:
        """Return whether prompts with prefixes of one length had better run after them."""
        new = {layout.keys[row] for row in rows if not self._holds(layout.keys[row])}
        size = layout.sizes[rows[0]]
        has_more = all(int(layout.lengths[row]) > size for row in rows)
        return has_more and (len(rows) - len(new)) * size > self.least_saved

    def _holds(self, key: PrefixKey) -> bool:
        return self._last is not None and key in self._last.keys

    def _images(self, batch: Prepared, rows: Sequence[int]) -> dict[str, Any]:
        keys = chain.from_iterable(batch.image_keys[row] for row in rows)
        return {"mm_encoder_outputs": {"image": self.features.of(keys, batch.vision)}}

    def _layout(self, batch: Prepared) -> Layout:
        ids, mask = batch.inputs[IDS], batch.inputs[MASK]
        lengths = mask.sum(dim=1)
        starts = ids.shape[1] - lengths
        columns = torch.arange(ids.shape[1])
        token, *_ = image_tokens(self.model.name, self.model.model.config)
        ends = torch.where(ids == token, columns + 1, 0).amax(dim=1)
        keys = tuple(
            (images, row[start:end].numpy().tobytes())
            for images, row, start, end in zip(batch.image_keys, ids, starts, ends, strict=True)
        )
        return Layout(starts, lengths, tuple((ends - starts).tolist()), keys)

    def _after_prefixes(self, batch: Prepared, layout: Layout, query: AnswerQuery) -> Launched:
        """Run prefixes of one length, unless they were kept, and all prompts after them."""
        # All prefixes of a pass have one length, so the cache has no padding. Prompts, which come
        # padded on the left, are moved to begin in column 0; what follows their prefix is then
        # padded on the right, and `ends` says where each one's last token is.
        size = layout.sizes[0]
        columns = torch.arange(int(layout.lengths.max()))
        index = (layout.starts[:, None] + columns).clamp(max=batch.inputs[IDS].shape[1] - 1)
        texts = {
            name: value.gather(1, index)
            for name, value in batch.inputs.items()
            if name not in (MASK, GRID)
        }
        positions = image_positions(self.model.model, batch.inputs)
        if positions is not None:
            texts[POSITIONS] = positions.gather(2, index.expand(len(positions), -1, -1))
        prefix, self._last = self._last, None
        if prefix is None or not set(layout.keys) <= set(prefix.keys):
            prefix = None  # room for the new one
            prefix = self._run_prefixes(batch, layout, texts, to_the_end=bool(query))
        suffix = {name: value[..., size:] for name, value in texts.items()}
        order = [prefix.keys.index(key) for key in layout.keys]
        outputs = NO_OUTPUTS
        if query:
            lengths = (layout.lengths - size).tolist()
            suffixes = {
                name: [row[:length] for row, length in zip(value.tolist(), lengths, strict=True)]
                for name, value in suffix.items()
                if name != POSITIONS
            }
            with torch.inference_mode():
                outputs = {ANSWERS: prefix.prompts.likelihoods_after(order, suffixes, query)}
        # The pass writes its suffixes into the cache that it gets, so it gets a copy, and another
        # one, of the last prompt's prefix alone, stays for the next batch.
        prompts = prefix.prompts.take(order)
        launched = self.model.run(
            prompts.longer(self.model.placed(suffix)) | use(prompts.cache),
            ends=layout.lengths - size - 1,
            outputs=outputs,
            means=_rows(prefix.means, order),
        )
        last = order[-1:]
        self._last = Prefix(layout.keys[-1:], prefix.prompts.take(last), _rows(prefix.means, last))
        return launched

    def _run_prefixes(
        self, batch: Prepared, layout: Layout, texts: dict[str, torch.Tensor], *, to_the_end: bool
    ) -> Prefix:
        size, keys = layout.sizes[0], tuple(dict.fromkeys(layout.keys))
        firsts = [layout.keys.index(key) for key in keys]
        inputs = {name: value[..., firsts, :size] for name, value in texts.items()}
        inputs[MASK] = torch.ones_like(inputs[IDS])
        if POSITIONS in texts:
            inputs[NEXT_POSITIONS] = texts[POSITIONS][:, firsts, size]
        prompts = unread(self.model.model, self.model.placed(inputs) | self._images(batch, firsts))
        with (
            torch.inference_mode(),
            self.model.reading(prompts.arguments, to_the_end=to_the_end) as reading,
        ):
            prompts.run()
        points = enumerate(self.model.hook_points)
        pooled = {place for place, point in points if point.site.pooling == IMAGE_MEAN}
        # What follows needs no images, and these may be large.
        text = {name: value for name, value in prompts.arguments.items() if name in TEXT}
        prompts = replace(prompts, arguments=text)
        return Prefix(keys, prompts, {place: reading.features[place] for place in pooled})


def _rows(means: Features, order: Sequence[int]) -> Features:
    rows = torch.tensor(order)
    return {place: values[moved(rows, values.device)] for place, values in means.items()}


@dataclass
class ImageFeatures:
    """Runs the vision tower and keeps what it gives, by the content of each image."""

    model: LoadedModel
    scale: PixelScale | None
    host_inputs: bool = False
    """Whether the tower is given what it would compute from the sizes of images."""
    most_bytes: int = MOST_BYTES
    _cached: OrderedDict[ImageKey, Any] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(
        self, image_keys: Iterable[ImageKey], vision: Mapping[ImageKey, Mapping[str, Any]]
    ) -> Any:
        """Return the features of images, concatenated, in the form that the model's forward takes.

        Images are in reading order, prompt after prompt; `vision` has what the tower takes for
        each.
        """
        wanted = list(image_keys)
        features = {key: self._cached[key] for key in wanted if key in self._cached}
        new = [key for key in dict.fromkeys(wanted) if key not in features]
        for keys in _alike(new, vision):
            images = [vision[key] for key in keys]
            parts = self._run(images) or [self._run([image])[0] for image in images]
            features |= dict(zip(keys, parts, strict=True))
        for key in dict.fromkeys(wanted):
            self._keep(key, features[key])
        return joined([features[key] for key in wanted])

    def forget(self) -> None:
        """Drop everything: the device needs the room."""
        self._cached.clear()
        self._bytes = 0

    def _run(self, images: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run the tower on images that are alike; return what it gives for each.

        That is nothing if the tower puts several images into one item.
        """
        whole = self.model.model  # the method of its inner model says what it takes
        tower = getattr(whole.base_model, "get_image_features", None) or whole.get_image_features
        known = inspect.signature(tower).parameters
        names = [name for name in images[0] if name in known]
        inputs = {name: put_together([image[name] for image in images]) for name in names}
        if self.host_inputs:
            inputs |= tower_inputs(self.model.encoder, inputs[GRID])
        with torch.inference_mode():
            output = tower(**self.model.placed(inputs, self.scale), return_dict=True)
        values = {name: value for name, value in output.items() if name not in UNUSED}
        if len(values[POOLED]) % len(images):
            return []
        count = len(images)
        return [
            type(output)(**NO_STATES, **{n: _part(n, v, place, count) for n, v in values.items()})
            for place in range(count)
        ]

    def _keep(self, key: ImageKey, features: Any) -> None:
        if key not in self._cached:
            self._bytes += _bytes(features.to_tuple())
        self._cached[key] = features
        self._cached.move_to_end(key)
        while self._bytes > self.most_bytes:
            _, dropped = self._cached.popitem(last=False)
            self._bytes -= _bytes(dropped.to_tuple())


def put_together(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate tensors, in page-locked memory where they are in that."""
    if not values[0].is_pinned():
        return torch.cat(list(values))
    shape = (sum(map(len, values)), *values[0].shape[1:])
    return torch.cat(list(values), out=torch.empty(shape, dtype=values[0].dtype, pin_memory=True))


def _alike(
    keys: Sequence[ImageKey], vision: Mapping[ImageKey, Mapping[str, Any]]
) -> list[list[ImageKey]]:
    """Group images by their shapes and by the inputs that describe their sizes."""
    groups: dict[Any, list[ImageKey]] = {}
    for key in keys:
        shapes = tuple(
            (name, tuple(value.shape), None if name == PIXELS else value.numpy().tobytes())
            for name, value in vision[key].items()
            if torch.is_tensor(value)
        )
        groups.setdefault(shapes, []).append(key)
    return list(groups.values())


def _part(name: str, value: Any, place: int, count: int) -> Any:
    """Return one image's part of what the tower gave for several that are alike."""
    if name == POOLED or torch.is_tensor(value):
        each = len(value) // count
        return value[place * each : (place + 1) * each]
    return [_part(POOLED, layer, place, count) for layer in value]


def joined(outputs: Sequence[Any]) -> Any:
    """Return several outputs of a vision tower as one; RuntimeError if their shapes differ."""
    whole = type(outputs[0])(**NO_STATES)
    for name in outputs[0]:
        values = [output[name] for output in outputs]
        if name == POOLED or torch.is_tensor(values[0]):
            whole[name] = _side_by_side(values)
        else:  # an item a layer
            whole[name] = [_side_by_side(layer) for layer in zip(*values, strict=True)]
    return whole


def _side_by_side(values: Sequence[Any]) -> Any:
    if torch.is_tensor(values[0]):
        return torch.cat(list(values))
    return type(values[0])(part for value in values for part in value)


def _bytes(value: Any) -> int:
    if torch.is_tensor(value):
        return value.nbytes
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0
