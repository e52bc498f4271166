"""Questions whose answer is one of 2 to 12 classes."""

import random

from savs.datasets.benchmarks.shapes.items import Draw, Item, spell, unique_things
from savs.datasets.benchmarks.shapes.scenes import FAMILIAR_KINDS

CLEAR_PX = 8
"""Minimum distance from the middle for a thing to be on one side."""
TWELVE_KINDS = FAMILIAR_KINDS[::2][:10] + FAMILIAR_KINDS[1:4:2]


def color(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the colour of the only thing of its shape: 6 classes."""
    scene = draw(None)
    single = unique_things(scene.things, "shape")
    if not single:
        return ()
    thing = rng.choice(single)
    return (Item((scene,), f"What color is the {thing.shape}?", thing.color),)


def shape(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the shape of the only thing of its colour: 4 classes."""
    scene = draw(None)
    single = unique_things(scene.things, "color")
    if not single:
        return ()
    thing = rng.choice(single)
    return (Item((scene,), f"What shape is the {thing.color} object?", thing.shape),)


def grey_shape(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the shape of the only thing in a picture without colour: 4 classes."""
    scene = draw([rng.choice(FAMILIAR_KINDS)])
    return (Item((scene,), "What shape is the object?", scene.things[0].shape, grey=True),)


def kind(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask what the only thing is: 12 classes of colour and shape."""
    scene = draw([rng.choice(TWELVE_KINDS)])
    return (Item((scene,), "What object is in the image?", spell(scene.things[0].kind)),)


def count(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask how many things there are: 4 classes."""
    del rng
    scene = draw(None)
    return (Item((scene,), "How many objects are there?", str(len(scene.things))),)


def position(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask on which side the only thing of its kind is: 2 classes."""
    scene = draw(None)
    middle = scene.canvas[0] / 2
    single = [t for t in unique_things(scene.things, "kind") if abs(t.x - middle) >= CLEAR_PX]
    if not single:
        return ()
    thing = rng.choice(single)
    question = f"Is the {spell(thing.kind)} on the left or on the right?"
    return (Item((scene,), question, "left" if thing.x < middle else "right"),)


def height(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask whether the only thing of its kind is at the top or the bottom: 2 classes."""
    scene = draw(None)
    middle = scene.canvas[1] / 2
    single = [t for t in unique_things(scene.things, "kind") if abs(t.y - middle) >= CLEAR_PX]
    if not single:
        return ()
    thing = rng.choice(single)
    question = f"Is the {spell(thing.kind)} at the top or at the bottom?"
    return (Item((scene,), question, "top" if thing.y < middle else "bottom"),)


def size(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the size of the only thing of its kind: 2 classes."""
    scene = draw(None)
    single = unique_things(scene.things, "kind")
    if not single:
        return ()
    thing = rng.choice(single)
    return (Item((scene,), f"Is the {spell(thing.kind)} large or small?", thing.size),)


def texture(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the background's texture, which is not in the demo model's training: 4 classes."""
    del rng
    scene = draw(None)
    question = "What is the background texture? Answer with one word."
    return (Item((scene,), question, scene.background.texture),)
