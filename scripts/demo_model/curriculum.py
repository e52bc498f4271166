"""What the model is taught, and when: scenes by number of images, questions by phase.

Never taught: the pairs of `NOVEL_KINDS`, the tasks of the family `unseen`,
and the background's texture.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from savs.datasets.benchmarks.shapes import tasks
from savs.datasets.benchmarks.shapes.scenes import (
    COLORS,
    FAMILIAR_KINDS,
    SHAPE_NAMES,
    Canvas,
    Kind,
    Scene,
    random_kinds,
    random_scene,
)
from savs.datasets.benchmarks.shapes.tasks import YES_NO, Ask, Draw, Item, spell, unique_things

PART = "curriculum"
"""Of all scenes, those that no benchmark uses."""

Scenes = tuple[Scene, ...]
Weights = tuple[float, float, float, float]
"""How often a scene has one, two, three or four things."""
USUAL: Weights = (0.2, 0.35, 0.25, 0.2)


def listing(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for all things in order: it teaches where things are, and what."""
    scene = draw(None)
    across = rng.random() < 0.5
    things = sorted(scene.things, key=lambda thing: thing.x if across else thing.y)
    order = "left to right" if across else "top to bottom"
    answer = ", ".join(spell(thing.kind) for thing in things)
    return (Item((scene,), f"List the objects from {order}.", answer),)


def refer(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask what stands in a relation to a thing."""
    scene = draw(None)
    single = unique_things(scene.things, "kind")
    if not single:
        return ()
    anchor, word = rng.choice(single), rng.choice(tuple(tasks.INVERSE))
    others = [thing for thing in scene.things if thing is not anchor]
    there = [thing for thing in others if tasks.holds(thing, word, anchor)]
    back = tasks.INVERSE[word]
    unclear = [t for t in others if t not in there and not tasks.holds(t, back, anchor)]
    if len(there) != 1 or unclear:
        return ()
    question = f"What is {word} the {spell(anchor.kind)}?"
    return (Item((scene,), question, spell(there[0].kind)),)


def attribute(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State that a colour or a shape is there."""
    scene = draw(None)
    part = rng.randrange(2)
    present = sorted({kind[part] for kind in scene.kinds})
    absent = [name for name in (tuple(COLORS), SHAPE_NAMES)[part] if name not in present]
    true = rng.random() < 0.5
    if not true and not absent:
        return ()
    name = rng.choice(present if true else absent)
    text = f"a {name} object" if part == 0 else f"a {name}"
    return (Item((scene,), f"Does this image show {text}?{YES_NO}", "Yes" if true else "No"),)


def single_scene(rng: random.Random, canvas: Canvas, things: Weights = USUAL) -> Scenes:
    """Draw one scene of one to four things."""
    count = rng.choices(range(1, 5), things)[0]
    return (random_scene(rng, random_kinds(rng, count), canvas, PART),)


def two_scenes(rng: random.Random, canvas: Canvas, things: Weights = USUAL) -> Scenes:
    """Draw two scenes; nearly half the time of one thing each, which often share an attribute."""
    if rng.random() < 0.55:
        return single_scene(rng, canvas, things) + single_scene(rng, canvas, things)
    first, second = random_kinds(rng, 2)
    if rng.random() < 0.5:
        second = rng.choice([kind for kind in FAMILIAR_KINDS if kind[0] == first[0]])
    return tuple(random_scene(rng, [kind], canvas, PART) for kind in (first, second))


def three_scenes(rng: random.Random, canvas: Canvas, things: Weights = USUAL) -> Scenes:
    """Draw three scenes of one thing each, two of them of one colour."""
    del things
    color, odd = rng.sample(tuple(COLORS), 2)
    colors = [color, color, odd]
    rng.shuffle(colors)
    kinds: list[Kind] = [rng.choice([k for k in FAMILIAR_KINDS if k[0] == c]) for c in colors]
    return tuple(random_scene(rng, [kind], canvas, PART) for kind in kinds)


@dataclass(frozen=True, slots=True)
class Family:
    """Questions about the same number of images."""

    scenes: Callable[[random.Random, Canvas, Weights], Scenes]
    asks: Mapping[str, Ask]


FAMILIES: dict[int, Family] = {
    1: Family(
        single_scene,
        {
            "listing": listing,
            "refer": refer,
            "attribute": attribute,
            "color": tasks.color,
            "shape": tasks.shape,
            "grey-shape": tasks.grey_shape,
            "kind": tasks.kind,
            "size": tasks.size,
            "position": tasks.position,
            "height": tasks.height,
            "count": tasks.count,
            "exists": tasks.exists,
            "binding": tasks.binding,
            "relation": tasks.relation,
            "option": tasks.option,
            "corner": tasks.corner,
        },
    ),
    2: Family(
        two_scenes,
        {
            "which-image": tasks.which_image,
            "more-things": tasks.more_things,
            "same-color": tasks.same_color,
        },
    ),
    3: Family(
        three_scenes,
        {"odd-one-out": tasks.odd_one_out, "third-image": tasks.third_image},
    ),
}
"""Number of images -> what is asked about them."""

ONE_THING = {"kind", "grey-shape", "corner", "same-color", "odd-one-out", "third-image"}
"""Questions that make sense only where each scene has one thing."""


GREY = {"grey-shape": 2.0, "count": 0.5, "corner": 1.0}
"""What is asked about scenes that are drawn without colour, and how often."""
GREY_SHARE = 0.3
"""How many of the single scenes of one thing are drawn so."""


def drawn_grey(rng: random.Random, scenes: Scenes) -> bool:
    """Return whether to draw these scenes without colour."""
    return len(scenes) == len(scenes[0].things) == 1 and rng.random() < GREY_SHARE


def ask_about(rng: random.Random, scenes: Scenes, images: int, name: str) -> tuple[Item, ...]:
    """Ask about scenes that are drawn already; nothing where they do not suit the question."""
    if name in ONE_THING and any(len(scene.things) > 1 for scene in scenes):
        return ()
    upcoming: Iterator[Scene] = iter(scenes)
    return FAMILIES[images].asks[name](rng, lambda _kinds: next(upcoming))


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training."""

    until: float
    """Share of all steps at which it ends."""
    weights: Mapping[int, Mapping[str, float]]
    """Number of images -> question -> how often it is asked."""
    images: Mapping[int, float]
    """Number of images -> share of the steps."""
    things: Weights
    blocks: int
    """Blocks of packed questions a scene."""
    rows: int
    """Images a step."""


TWO = {"which-image": 2.5, "more-things": 1.0, "same-color": 2.5}
THREE = {"odd-one-out": 1.0, "third-image": 1.0}
NAMING = {
    "listing": 2.0, "color": 2.0, "shape": 2.5, "attribute": 1.0, "kind": 2.0,
    "position": 1.0, "height": 1.0, "size": 1.0, "corner": 1.0,
}  # fmt: skip
STATING = {
    "listing": 2.0, "color": 1.0, "shape": 1.5, "attribute": 1.2, "kind": 1.0,
    "position": 1.2, "height": 1.2, "size": 1.5, "corner": 1.0, "count": 0.8,
    "exists": 2.0, "binding": 1.0, "relation": 2.5, "refer": 0.8, "option": 1.2,
}  # fmt: skip
RELATING = {
    "listing": 1.0, "color": 0.4, "shape": 0.4, "attribute": 0.4, "kind": 0.4,
    "position": 1.5, "height": 1.5, "size": 2.0, "corner": 0.8, "count": 0.8,
    "exists": 1.2, "binding": 1.4, "relation": 5.0, "refer": 1.0, "option": 0.8,
}  # fmt: skip

SECOND = {1: STATING, 2: TWO, 3: THREE}
THIRD = {1: RELATING, 2: TWO, 3: THREE}
PHASES = (
    Phase(0.10, {1: NAMING}, {1: 1.0}, (0.6, 0.4, 0.0, 0.0), 2, 32),
    Phase(0.35, SECOND, {1: 0.82, 2: 0.12, 3: 0.06}, (0.3, 0.4, 0.3, 0.0), 4, 24),
    Phase(1.00, THIRD, {1: 0.78, 2: 0.14, 3: 0.08}, (0.15, 0.4, 0.25, 0.2), 4, 24),
)
"""First names, then statements, then relations above all; several images from the second on."""


def phase_at(progress: float) -> Phase:
    """Return the phase at a share of the steps from 0 to 1."""
    return next(phase for phase in PHASES if progress < phase.until or phase.until == 1.0)
