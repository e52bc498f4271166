"""One shard's worth of features: each distinct prompt runs once, every row gets its features."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.media.images import thumbnail
from savs.datasets.media.media import sha256
from savs.foundation.arrays import Array
from savs.pipeline.extraction.batches.plan import make_batches
from savs.pipeline.extraction.batches.prepare import Refused, prepared_ahead
from savs.pipeline.extraction.batches.run import run_batch
from savs.pipeline.extraction.model.extra_outputs import Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.stores import ShardContent
from savs.stores.format.layout import STORED_DTYPES, THUMBNAIL_PX


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """How a shard is made."""

    batch_size: int
    """Examples a forward pass at most."""
    thumbnails: bool
    """Whether a small JPEG of each example's first image is kept."""
    answers: Answers
    """Labels whose first tokens' logits are kept."""
    run: Mapping[str, Any]
    """What the run records about itself."""


def extract_shard(
    model: LoadedModel,
    examples: Sequence[Example],
    media: MediaFolder,
    settings: ShardSettings,
    on_rows: Callable[[int], None],
) -> ShardContent:
    """Run the examples of one shard and return what its file shall hold.

    Rows with equal images (by content) and equal prompts run once. An example whose image cannot be
    read, or that the processor refuses, is skipped with its reason. `on_rows` is told how many
    rows are done, batch by batch.
    """
    reasons: dict[int, str] = {}
    hashes: dict[int, tuple[str, ...]] = {}
    for place, example in enumerate(examples):
        try:
            hashes[place] = tuple(sha256(media.read(name)) for name in example.media)
        except MediaError as error:
            reasons[place] = str(error)
    on_rows(len(reasons))
    twins: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for place, digests in hashes.items():
        twins.setdefault((digests, examples[place].prompt), []).append(place)
    same = {places[0]: places for places in twins.values()}

    layers = _empty_layers(model, len(examples))
    answers = np.zeros((len(examples), len(settings.answers)), np.float32)
    computed: set[int] = set()
    halved = 0
    firsts = list(same)
    batches = [
        [firsts[i] for i in batch]
        for batch in make_batches([examples[place] for place in firsts], settings.batch_size)
    ]
    for batch in prepared_ahead(model, examples, batches, media):
        parts = run_batch(model, examples, batch, media, settings.answers)
        halved += len(parts) > 1
        for done in parts:
            if isinstance(done, Refused):
                reasons |= dict.fromkeys(same[done.place], done.reason)
                on_rows(len(same[done.place]))
                continue
            places, read = done
            for column, first in enumerate(places):
                for layer, heads in read.heads.items():
                    layers[layer][:, same[first]] = heads[:, column, None]
                answers[same[first]] = read.answers[column]
                computed.update(same[first])
                on_rows(len(same[first]))
    kept = [place for place in range(len(examples)) if place not in reasons]
    if computed != set(kept):
        raise RuntimeError(f"{len(kept)} rows to keep, {len(computed)} were computed")
    skipped = sorted(reasons)
    columns = _columns(examples, kept, hashes)
    if settings.thumbnails:
        columns["thumbnail"] = [_thumbnail(examples[place], media) for place in kept]
    return ShardContent(
        layers={layer: values.take(kept, axis=1) for layer, values in layers.items()}
        if skipped
        else layers,
        examples=columns,
        skipped=_columns(examples, skipped, hashes) | {"reason": [reasons[p] for p in skipped]},
        run={**settings.run, "batch_size": settings.batch_size, "halved_batches": halved},
        outputs={"answers": answers[kept]} if settings.answers else {},
    )


def _empty_layers(model: LoadedModel, rows: int) -> dict[int, Array]:
    return {
        point.grid.layer: np.zeros(
            (len(point.grid.heads), rows, point.grid.head_dim), STORED_DTYPES[model.dtype]
        )
        for point in model.hook_points
    }


def _columns(
    examples: Sequence[Example], places: Sequence[int], hashes: Mapping[int, tuple[str, ...]]
) -> dict[str, list[Any]]:
    rows = [examples[place] for place in places]
    return {
        "index": [row.index for row in rows],
        "id": [row.id for row in rows],
        "split": [row.split for row in rows],
        "label": [row.label for row in rows],
        "group": [row.group for row in rows],
        "subtask": [row.subtask for row in rows],
        "category": [row.category for row in rows],
        "prompt": [row.prompt for row in rows],
        "media": [list(row.media) for row in rows],
        "media_sha256": [list(hashes.get(place, ())) for place in places],
        "extra": [_json(dict(row.extra)) for row in rows],
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _thumbnail(example: Example, media: MediaFolder) -> bytes | None:
    if not example.media:
        return None
    return thumbnail(media.first_image(example.media[0]), THUMBNAIL_PX)
