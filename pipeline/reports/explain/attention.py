"""Where chosen heads look, with a test of each map: what masking its brightest patches changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.datasets import Example
from savs.datasets.media.media import MediaFolder
from savs.datasets.media_kinds.catalogue import other_than_images
from savs.foundation.arrays import Array
from savs.pipeline.errors import ReportError
from savs.pipeline.heads.centroids import cosines, leads
from savs.pipeline.reports.explain.evidence import Evidence, of_heads
from savs.pipeline.reports.pages.charts import LEVELS, shade_paths
from savs.pipeline.selection.compatibility import require_match
from savs.pipeline.selection.selection_config import SelectionConfig, model_heads
from savs.stores import Head, head_name
from savs.stores.format.layout import is_neuron

if TYPE_CHECKING:
    from savs.pipeline.extraction.model.loaded_model import LoadedModel

MASKED = 0.3
"""Part of the patches that is masked."""
DRAWS = 10
"""Random masks of as many patches."""
BATCH = 8
"""Masked prompts that run together."""
COLOURS = (
    *("#440154", "#482173", "#433e85", "#38588c", "#2d708e", "#25858e"),
    *("#1e9b8a", "#2ab07f", "#52c569", "#86d549", "#c2df23", "#fde725"),
)
"""Colour of each level of a map: viridis, whose steps look equally far apart to every eye."""
TOKENS = 3
"""Tokens of the prompt that are named for each head."""
SAME = 0.02
"""Greatest relative distance of a head's feature from the stored one."""


@dataclass(frozen=True, slots=True)
class View:
    """Where one head looks in one example, and whether it needs that region."""

    name: str
    maps: tuple[Array, ...]
    """For each image `(rows, columns)` float32: attention on its patches."""
    on_images: float
    """Part of the attention that lies on images, 0 to 1."""
    tokens: tuple[tuple[str, float], ...]
    """The other tokens with the most attention, and how much."""
    drop: float
    """What the lead of the head's vote loses when the brightest patches are masked."""
    random: tuple[float, ...]
    """What it loses when random patches are masked, draw by draw."""
    words: tuple[str, ...]
    """Words that the head writes for the mean of the training examples of its vote's class."""

    def heat(self, image: int) -> dict[int, str]:
        """Return the patches of an image's map: level, 1 to `LEVELS` -> SVG path in patches.

        Patches with next to no attention are left out, so that the image is seen there as it is.
        """
        weights = self.maps[image]
        level = np.rint(LEVELS * weights / max(float(weights.max()), 1e-12)).astype(int)
        cells = {(int(c), int(r)): int(level[r, c]) for r, c in np.argwhere(level > 0)}
        return shade_paths(cells)

    @property
    def beaten(self) -> int:
        """Number of random masks that changed the lead less."""
        return sum(self.drop > other for other in self.random)

    @property
    def is_better(self) -> bool:
        """Whether masking what the map shows did more than every random mask."""
        return self.beaten == len(self.random)


def require_heads(heads: Sequence[Head]) -> None:
    """Raise ReportError for neurons, which are too little of a head to say where it looks."""
    if some := [head_name(head) for head in heads if is_neuron(head)]:
        raise ReportError(
            f"an attention map shows a whole head, and {some[0]} is one value; omit the maps, or"
            " select with a readout of heads"
        )


def view_example(
    model: "LoadedModel",
    prompt: str,
    media: Sequence[str],
    folder: MediaFolder,
    evidence: Evidence,
    *,
    with_words: bool = False,
) -> tuple[View, ...]:
    """Return where the chosen heads of an example look; with the words that each writes if asked.

    Takes one forward pass, one for each head and `DRAWS` more. MediaError if an image cannot be
    read; ModelError if the model's attention cannot be, see `look`; ReportError if the example has
    no image, or a video, or the model gives other features than the store has.
    """
    from savs.pipeline.extraction.line.prepare import pieces_of
    from savs.pipeline.reports.explain.maps import (
        head_words,
        heads_at_last_token,
        look,
        mask_patches,
    )

    if not media:
        raise ReportError(f"example {evidence.id!r} has no image to look at")
    example = Example(evidence.id, "test", 0, None, prompt, tuple(media))
    pieces = pieces_of(example, folder, model.encoder)
    if (other := other_than_images(pieces)) is not None:
        raise ReportError(
            f"example {evidence.id!r} is about {other.a_noun}, and maps show images"
            f"{other.in_images}"
        )
    heads = model_heads(evidence.trained.selection.heads)
    if not heads:
        raise ReportError("the classifier reads the model's own answers alone, and no head looks")
    require_heads(heads)
    evidence = of_heads(evidence, range(len(heads)))
    centroids = evidence.trained.centroids
    widths = {(g.layer, h): g.head_dim for g in model.grid for h in g.heads}
    attention = look(model, pieces, heads)
    _require_same(evidence, attention.features)

    shapes = [weights.shape[1:] for weights in attention.on_images]
    bright = np.concatenate(
        [weights.reshape(len(heads), -1) for weights in attention.on_images], axis=1
    )
    rng = np.random.default_rng(0)
    orders = [*bright, *rng.random((DRAWS, bright.shape[1]))]
    masked = [mask_patches(pieces, _hidden(order, shapes)) for order in orders]
    lost = evidence.leads - np.concatenate(
        [
            _leads(
                evidence,
                heads_at_last_token(model, model.inputs(masked[start : start + BATCH]), heads),
            )
            for start in range(0, len(masked), BATCH)
        ]
    )  # (heads + draws, heads)
    return tuple(
        View(
            name=head_name(head),
            maps=tuple(weights[place] for weights in attention.on_images),
            on_images=float(bright[place].sum()),
            tokens=_brightest(attention.tokens, attention.on_tokens[place]),
            drop=float(lost[place, place]),
            random=tuple(map(float, lost[len(heads) :, place])),
            words=head_words(model, head, centroids[place, evidence.votes[place], : widths[head]])
            if with_words
            else (),
        )
        for place, head in enumerate(heads)
    )


def load_views_model(config: SelectionConfig, options: Mapping[str, Any]) -> "LoadedModel":
    """Load the model of a selection, and require that it is the one.

    MissingExtraError without torch; SelectionError or ModelError if it is another, or cannot be
    loaded.
    """
    from savs.pipeline.classifying.model_match import decoding_of, model_options
    from savs.pipeline.extraction.model.model_options import require_extra

    require_extra()
    from savs.pipeline.extraction.model_run import ModelRun
    from savs.pipeline.extraction.run_options import RunOptions

    named = {name: options.get(name) for name in ("model", "revision", "dtype")}
    placing: Any = {k: v for k, v in options.items() if k not in named}
    loading = model_options(config, **named, placing=placing)
    model = ModelRun(loading, RunOptions()).load()
    require_match(
        config, model.identity({}, media=decoding_of(config)).source(), allow_other_prompt=False
    )
    return model


def _require_same(evidence: Evidence, features: Sequence[Array]) -> None:
    """Raise ReportError if the model that runs is not the one of the store."""
    for place, feature in enumerate(features):
        stored = evidence.features[place, : len(feature)]
        apart = np.linalg.norm(feature - stored) / max(float(np.linalg.norm(stored)), 1e-12)
        if apart > SAME:
            head = head_name(evidence.trained.selection.heads[place])
            raise ReportError(
                f"example {evidence.id!r}: the model that runs gives {head} another feature than"
                f" the store has (relative distance {apart:.2g}); use the same dtype, images and"
                " pixel limits"
            )


def _leads(evidence: Evidence, features: Sequence[Array]) -> Array:
    """Return `(prompts, heads)`: how far each head's vote leads, with other features."""
    centroids = evidence.trained.centroids
    padded = np.zeros((len(features), len(features[0]), centroids.shape[2]), np.float32)
    for place, values in enumerate(features):
        padded[place, :, : values.shape[1]] = values
    return leads(cosines(padded, centroids).transpose(1, 0, 2), evidence.votes)


def _hidden(bright: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return flags of the brightest patches, `MASKED` of them, image by image."""
    count = max(1, round(MASKED * len(bright)))
    flags = np.zeros(len(bright), bool)
    flags[np.argsort(-bright, kind="stable")[:count]] = True
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flags, ends), shapes, strict=True)]


def _brightest(tokens: Sequence[str], weights: Array) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-weights, kind="stable")[:TOKENS]
    return tuple((tokens[int(place)], float(weights[place])) for place in order)
