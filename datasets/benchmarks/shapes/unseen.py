"""Tasks with labels and concepts that are not in the demo model's training."""

import random

from savs.datasets.benchmarks.shapes.items import Draw, Item
from savs.datasets.benchmarks.shapes.scenes import FAMILIAR_KINDS

ANIMALS = {"circle": "cat", "square": "dog", "triangle": "bird", "star": "fish"}
"""Shape -> an arbitrary name, which only the few-shot examples define."""
FRUITS = {
    "red": "mango",
    "green": "fig",
    "blue": "plum",
    "yellow": "kiwi",
    "purple": "lime",
    "cyan": "date",
}
"""Colour -> an arbitrary name."""
SIZES = {"large": "mouse", "small": "whale"}
"""Size -> a name that suggests the opposite."""


def animal(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the made-up name of the only thing's shape: 4 classes."""
    scene = draw([rng.choice(FAMILIAR_KINDS)])
    question = "What animal is this? Choose from cat, dog, bird, fish."
    return (Item((scene,), question, ANIMALS[scene.things[0].shape]),)


def fruit(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the made-up name of the only thing's colour: 6 classes."""
    scene = draw([rng.choice(FAMILIAR_KINDS)])
    question = "What fruit is this? Choose from mango, fig, plum, kiwi, lime, date."
    return (Item((scene,), question, FRUITS[scene.things[0].color]),)


def creature(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the made-up name of the only thing's size: 2 classes."""
    scene = draw([rng.choice(FAMILIAR_KINDS)])
    question = "Is this a mouse or a whale?"
    return (Item((scene,), question, SIZES[scene.things[0].size]),)


def concept(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for a class that means `shows a red circle or a blue star`: 2 classes."""
    wanted = [("red", "circle"), ("blue", "star")]
    others = [kind for kind in FAMILIAR_KINDS if kind not in wanted]
    true = rng.random() < 0.5
    kinds = [rng.choice(wanted if true else others), rng.choice(others)]
    question = "Is this picture a blick or a dax?"
    return (Item((draw(rng.sample(kinds, 2)),), question, "blick" if true else "dax"),)
