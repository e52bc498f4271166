"""Questions: scenes, a text, and the right answer."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from savs.datasets.benchmarks.shapes.scenes import FAMILIAR_KINDS, Kind, Scene, Thing, random_scene

YES_NO = " Answer with Yes or No."
LETTER = " Answer with the option letter."


@dataclass(frozen=True, slots=True)
class Item:
    """One question about one or several scenes."""

    scenes: tuple[Scene, ...]
    question: str
    label: str
    grey: bool = False
    """Drawn without colour, which the question does not need."""


Draw = Callable[[Sequence[Kind] | None], Scene]
"""Draws a scene with things of the given kinds, or of random ones."""
Ask = Callable[[random.Random, Draw], tuple[Item, ...]]
"""Draws the items of one unit (a question, a pair, a group); empty if the scene allows none."""


def drawer(rng: random.Random, **settings: object) -> Draw:
    """Return a function that draws scenes with these settings of `random_scene`."""
    return lambda kinds: random_scene(rng, kinds, **settings)  # type: ignore[arg-type]


def spell(kind: Kind) -> str:
    """Return a kind as prompts spell it: `red circle`."""
    return f"{kind[0]} {kind[1]}"


def unique_things(things: Sequence[Thing], attribute: str) -> list[Thing]:
    """Return the things whose attribute no other thing shares."""
    keys = [getattr(thing, attribute) for thing in things]
    return [thing for thing, key in zip(things, keys, strict=True) if keys.count(key) == 1]


def absent_kind(
    rng: random.Random, scene: Scene, allowed: Sequence[Kind] = FAMILIAR_KINDS
) -> Kind | None:
    """Return a kind that is not in the scene, mostly one that mixes attributes of its things."""
    colors = {color for color, _ in scene.kinds}
    shapes = {shape for _, shape in scene.kinds}
    missing = [kind for kind in allowed if kind not in scene.kinds]
    mixed = [kind for kind in missing if kind[0] in colors and kind[1] in shapes]
    near = [kind for kind in missing if (kind[0] in colors) != (kind[1] in shapes)]
    chance = rng.random()
    pool = (mixed if chance < 0.5 else near if chance < 0.9 else missing) or near or missing
    return rng.choice(pool) if pool else None
