"""Captions of scenes, and which scene each is true of.

Never captioned: the pairs of `NOVEL_KINDS`, the names of `unseen.py`, and the background's texture.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from savs.datasets.benchmarks.shapes.scenes import (
    COLORS,
    FAMILIAR_KINDS,
    SHAPE_NAMES,
    SIZES,
    Kind,
    Scene,
)
from savs.datasets.benchmarks.shapes.tasks import (
    INVERSE,
    absent_kind,
    both_text,
    holds,
    relation_text,
    spell,
)

FORMS = ("{}", "a {}", "a photo of a {}", "a photo of a {}.", "a picture of a {}", "one {}")
"""How a thing, a colour or a shape is put into words."""
OWN = 2
"""Captions drawn for each scene, in addition to those of all kinds, colours and shapes."""
Truth = Callable[[Scene], bool | None]
"""Whether a scene shows what a caption says; None where that is unclear."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A text about a scene."""

    text: str
    truth: Truth


def names(rng: random.Random) -> list[Caption]:
    """Return a caption of each familiar kind, each colour, each shape, and some with sizes."""
    captions = [_thing(rng, spell(kind), *kind) for kind in FAMILIAR_KINDS]
    captions += [
        _thing(rng, rng.choice((color, f"{color} object")), color, None) for color in COLORS
    ]
    captions += [_thing(rng, shape, None, shape) for shape in SHAPE_NAMES]
    for size in SIZES:
        color, shape = rng.choice(FAMILIAR_KINDS)
        captions.append(_thing(rng, f"{size} {color} {shape}", color, shape, size))
        captions.append(_thing(rng, f"{size} object", None, None, size))
    return captions


def _thing(
    rng: random.Random, text: str, color: str | None, shape: str | None, size: str | None = None
) -> Caption:
    def truth(scene: Scene) -> bool:
        wanted = (color, shape, size)
        return any(
            all(w in (None, f) for w, f in zip(wanted, (t.color, t.shape, t.size), strict=True))
            for t in scene.things
        )

    return Caption(rng.choice(FORMS).format(text), truth)


def about(rng: random.Random, scene: Scene) -> list[Caption]:
    """Return captions of pairs of kinds and of relations, about half of them true of the scene."""
    return [(_pair if rng.random() < 0.4 else _relation)(rng, scene) for _ in range(OWN)]


def _pair(rng: random.Random, scene: Scene) -> Caption:
    first, second = _two(rng, scene)
    if rng.random() < 0.5:
        crossed: tuple[Kind, Kind] = (first[0], second[1]), (second[0], first[1])
        familiar = all(kind in FAMILIAR_KINDS for kind in crossed)
        first, second = crossed if familiar else (first, absent_kind(rng, scene))
    return Caption(both_text(first, second), lambda scene: scene.kinds >= {first, second})


def _relation(rng: random.Random, scene: Scene) -> Caption:
    (first, second), word = _two(rng, scene), rng.choice(tuple(INVERSE))

    def truth(scene: Scene) -> bool | None:
        pairs = [
            (a, b)
            for a in scene.things
            for b in scene.things
            if a is not b and (a.kind, b.kind) == (first, second)
        ]
        if any(holds(a, word, b) for a, b in pairs):
            return True
        return False if all(holds(a, INVERSE[word], b) for a, b in pairs) else None

    return Caption(relation_text(first, word, second), truth)


def _two(rng: random.Random, scene: Scene) -> tuple[Kind, Kind]:
    kinds = sorted(scene.kinds)
    if len(kinds) < 2:
        return kinds[0], absent_kind(rng, scene)
    first, second = rng.sample(kinds, 2)
    return first, second


def truths(captions: Sequence[Caption], scenes: Sequence[Scene]) -> list[list[float]]:
    """Return `(scenes, captions)` of 1 for true, 0 for false, and NaN where it is unclear."""
    values = [[caption.truth(scene) for caption in captions] for scene in scenes]
    return [[float("nan") if v is None else float(v) for v in row] for row in values]
