"""Questions about scenes, one kind of question a subtask."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from savs.datasets.shapes.scenes import COLORS, IMAGE_PX, KINDS, SHAPES, Scene, random_scene

YES_NO = " Answer with Yes or No."
ANIMALS = {"circle": "cat", "square": "dog", "triangle": "bird", "star": "fish"}
"""Labels that no picture of a shape suggests: a few examples alone tell what they mean."""
CLEAR_PX = 8
"""A thing nearer to the middle than this is on no side."""


@dataclass(frozen=True, slots=True)
class Item:
    """One scene with a question about it."""

    scene: Scene
    question: str
    label: str


Maker = Callable[[random.Random], Item | None]
"""Draws an item; None where the scene gives no clear question."""


def exists(rng: random.Random) -> Item:
    """Ask whether a colour-shape pair is there; a false one mostly shares a colour or shape."""
    scene = random_scene(rng)
    present = sorted(scene.kinds)
    if rng.random() < 0.5:
        color, shape = rng.choice(present)
        label = "Yes"
    else:
        near = [k for k in KINDS if any(k[0] == c or k[1] == s for c, s in present)]
        color, shape = rng.choice([kind for kind in near if kind not in present])
        label = "No"
    return Item(scene, f"Does this image show a {color} {shape}?{YES_NO}", label)


def color(rng: random.Random) -> Item | None:
    """Ask for the colour of the only thing of its shape."""
    scene = random_scene(rng)
    shapes = [thing.shape for thing in scene.things]
    single = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    return Item(scene, f"What color is the {thing.shape}?", thing.color)


def shape(rng: random.Random) -> Item | None:
    """Ask for the shape of the only thing of its colour."""
    scene = random_scene(rng)
    colors = [thing.color for thing in scene.things]
    single = [thing for thing in scene.things if colors.count(thing.color) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    return Item(scene, f"What shape is the {thing.color} object?", thing.shape)


def position(rng: random.Random) -> Item | None:
    """Ask on which side the only thing of its kind is."""
    scene = random_scene(rng)
    kinds = [thing.kind for thing in scene.things]
    single = [
        thing
        for thing in scene.things
        if kinds.count(thing.kind) == 1 and abs(thing.x - IMAGE_PX / 2) >= CLEAR_PX
    ]
    if not single:
        return None
    thing = rng.choice(single)
    side = "left" if thing.x < IMAGE_PX / 2 else "right"
    question = f"Is the {thing.color} {thing.shape} on the left or on the right?"
    return Item(scene, question, side)


def animal(rng: random.Random) -> Item:
    """Ask for a made-up name of the only thing's shape: the labels are arbitrary."""
    kind = rng.choice(tuple(COLORS)), rng.choice(SHAPES)
    scene = random_scene(rng, [kind])
    return Item(scene, "What animal is this? Choose from cat, dog, bird, fish.", ANIMALS[kind[1]])


SUBTASKS: dict[str, Maker] = {
    "exists": exists,
    "color": color,
    "shape": shape,
    "position": position,
    "animal": animal,
}
"""Subtask -> what draws its items."""
