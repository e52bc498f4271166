"""Questions with lettered options about one, two or three images, as in BLINK."""

import random

from savs.datasets.benchmarks.shapes.items import LETTER, YES_NO, Draw, Item, absent_kind, spell
from savs.datasets.benchmarks.shapes.scenes import COLORS, FAMILIAR_KINDS, SHAPES

TWO_IMAGES = " (A) the first image (B) the second image"
THREE_IMAGES = " (A) the first image (B) the second image (C) the third image"


def which_image(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Two images: ask which one shows a kind."""
    scenes = draw(None), draw(None)
    index = rng.randrange(2)
    only = sorted(scenes[index].kinds - scenes[1 - index].kinds)
    if not only:
        return ()
    question = f"Which image shows a {spell(rng.choice(only))}?{TWO_IMAGES}{LETTER}"
    return (Item(scenes, question, "AB"[index]),)


def more_things(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Two images: ask which one has more things."""
    del rng
    scenes = draw(None), draw(None)
    first, second = (len(scene.things) for scene in scenes)
    if first == second:
        return ()
    question = f"Which image has more objects?{TWO_IMAGES}{LETTER}"
    return (Item(scenes, question, "A" if first > second else "B"),)


def same_color(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Two images of one thing each: ask whether the colours are equal."""
    kind = rng.choice(FAMILIAR_KINDS)
    same = rng.random() < 0.5
    other = rng.choice([k for k in FAMILIAR_KINDS if (k[0] == kind[0]) is same])
    scenes = draw([kind]), draw([other])
    colors = {scene.things[0].color for scene in scenes}
    question = f"Do both images show the same color?{YES_NO}"
    return (Item(scenes, question, "Yes" if len(colors) == 1 else "No"),)


def odd_one_out(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Three images of one thing each: ask which colour differs from the other two."""
    usual, odd = rng.sample(tuple(COLORS), 2)
    colors = [usual, usual, odd]
    rng.shuffle(colors)
    kinds = [rng.choice([kind for kind in FAMILIAR_KINDS if kind[0] == color]) for color in colors]
    scenes = tuple(draw([kind]) for kind in kinds)
    drawn = [scene.things[0].color for scene in scenes]
    single = [index for index, color in enumerate(drawn) if drawn.count(color) == 1]
    if len(single) != 1:
        return ()
    question = f"Which image has another color than the others?{THREE_IMAGES}{LETTER}"
    return (Item(scenes, question, "ABC"[single[0]]),)


def third_image(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Three images of one thing each: ask which one shows a shape."""
    kinds = [rng.choice([k for k in FAMILIAR_KINDS if k[1] == s]) for s in rng.sample(SHAPES, 3)]
    scenes = tuple(draw([kind]) for kind in kinds)
    drawn = [scene.things[0].shape for scene in scenes]
    single = [index for index, shape in enumerate(drawn) if drawn.count(shape) == 1]
    if not single:
        return ()
    index = rng.choice(single)
    question = f"Which image shows a {drawn[index]}?{THREE_IMAGES}{LETTER}"
    return (Item(scenes, question, "ABC"[index]),)


def option(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """One image: ask which of two kinds it shows."""
    scene = draw(None)
    absent = absent_kind(rng, scene)
    if absent is None:
        return ()
    options = [rng.choice(sorted(scene.kinds)), absent]
    index = rng.randrange(2)
    first, second = options if index == 0 else options[::-1]
    question = f"Which object is in the image? (A) {spell(first)} (B) {spell(second)}{LETTER}"
    return (Item((scene,), question, "AB"[index]),)


def corner(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """One image of one thing: ask in which quarter it is."""
    scene = draw([rng.choice(FAMILIAR_KINDS)])
    thing = scene.things[0]
    right, down = (at - side / 2 for at, side in zip((thing.x, thing.y), scene.canvas, strict=True))
    if min(abs(right), abs(down)) < 6:
        return ()
    question = (
        "Where is the object? (A) top left (B) top right (C) bottom left (D) bottom right" + LETTER
    )
    return (Item((scene,), question, "ABCD"[2 * (down > 0) + (right > 0)]),)
