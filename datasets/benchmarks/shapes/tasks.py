"""The tasks of the benchmark: how each draws a scene, asks a question and knows the answer.

First what all tasks are made of, then six families of them, then `TASKS`, their table.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from savs.datasets.benchmarks.shapes.scenes import (
    COLORS,
    FAMILIAR_KINDS,
    KINDS,
    NOVEL_KINDS,
    SHAPE_NAMES,
    Kind,
    Scene,
    Thing,
    random_scene,
)

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


def absent_kind(rng: random.Random, scene: Scene, allowed: Sequence[Kind] = FAMILIAR_KINDS) -> Kind:
    """Return a kind that is not in the scene, mostly one that mixes attributes of its things.

    A scene has at most four things, so that it lacks a colour, with each of its shapes.
    """
    colors = {color for color, _ in scene.kinds}
    shapes = {shape for _, shape in scene.kinds}
    missing = [kind for kind in allowed if kind not in scene.kinds]
    mixed = [kind for kind in missing if kind[0] in colors and kind[1] in shapes]
    near = [kind for kind in missing if (kind[0] in colors) != (kind[1] in shapes)]
    chance = rng.random()
    return rng.choice((mixed if chance < 0.5 else near if chance < 0.9 else missing) or near)


# Classification: questions whose answer is one of 2 to 12 classes.

SIDE_CLEAR_PX = 8
"""Minimum distance from the middle for a thing to be on one side."""
TWELVE_KINDS = FAMILIAR_KINDS[::2][:10] + FAMILIAR_KINDS[1:4:2]


def ask_attribute(of: str, attribute: str, question: str) -> Ask:
    """Return what asks for an attribute of a thing whose attribute `of` no other thing shares."""

    def ask(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
        scene = draw(None)
        single = unique_things(scene.things, of)
        if not single:
            return ()
        thing = rng.choice(single)
        label = getattr(thing, attribute)
        return (Item((scene,), question.format(thing=thing, kind=spell(thing.kind)), label),)

    return ask


def ask_only(
    question: str,
    label: Callable[[Thing], str],
    kinds: Sequence[Kind] = FAMILIAR_KINDS,
    *,
    grey: bool = False,
) -> Ask:
    """Return what draws one thing of the kinds and asks a question whose label follows from it."""

    def ask(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
        scene = draw([rng.choice(kinds)])
        return (Item((scene,), question, label(scene.things[0]), grey),)

    return ask


color = ask_attribute("shape", "color", "What color is the {thing.shape}?")
shape = ask_attribute("color", "shape", "What shape is the {thing.color} object?")
size = ask_attribute("kind", "size", "Is the {kind} large or small?")
grey_shape = ask_only("What shape is the object?", lambda thing: thing.shape, grey=True)
kind = ask_only("What object is in the image?", lambda thing: spell(thing.kind), TWELVE_KINDS)


def count(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask how many things there are: 4 classes."""
    del rng
    scene = draw(None)
    return (Item((scene,), "How many objects are there?", str(len(scene.things))),)


def position(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask on which side the only thing of its kind is: 2 classes."""
    return _half(rng, draw(None), 0, ("left", "right"), "on the left or on the right")


def height(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask whether the only thing of its kind is at the top or the bottom: 2 classes."""
    return _half(rng, draw(None), 1, ("top", "bottom"), "at the top or at the bottom")


def _half(
    rng: random.Random, scene: Scene, axis: int, names: tuple[str, str], where: str
) -> tuple[Item, ...]:
    middle = scene.canvas[axis] / 2
    offsets = [(t, (t.x, t.y)[axis] - middle) for t in unique_things(scene.things, "kind")]
    clear = [(thing, offset) for thing, offset in offsets if abs(offset) >= SIDE_CLEAR_PX]
    if not clear:
        return ()
    thing, offset = rng.choice(clear)
    return (Item((scene,), f"Is the {spell(thing.kind)} {where}?", names[offset >= 0]),)


def texture(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for the background's texture, which is not in the demo model's training: 4 classes."""
    del rng
    scene = draw(None)
    question = "What is the background texture? Answer with one word."
    return (Item((scene,), question, scene.background.texture),)


# Statements about one scene, true or false.

INVERSE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
"""Relation -> its inverse."""
IMAGE_SHOWS = "Does this image show "
RELATION_CLEAR_PX = 16
"""Minimum distance of the centres for a relation to hold."""


def statement(scene: Scene, text: str, true: bool) -> Item:
    """Return the item that asks whether a scene shows what the text describes."""
    return Item((scene,), f"{IMAGE_SHOWS}{text}?{YES_NO}", "Yes" if true else "No")


def both_text(first: Kind, second: Kind) -> str:
    """Return the text that names two kinds."""
    return f"a {spell(first)} and a {spell(second)}"


def relation_text(first: Kind, relation: str, second: Kind) -> str:
    """Return the text that relates one kind to another."""
    return f"a {spell(first)} {relation} a {spell(second)}"


def holds(first: Thing, relation: str, second: Thing) -> bool:
    """Return whether a relation holds clearly between two things."""
    distance = {
        "to the left of": second.x - first.x,
        "to the right of": first.x - second.x,
        "above": second.y - first.y,
        "below": first.y - second.y,
    }[relation]
    return distance > RELATION_CLEAR_PX


def exists(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State that a kind is shown; a false statement mostly mixes attributes of shown things."""
    scene = draw(None)
    absent = absent_kind(rng, scene)
    true = rng.random() < 0.5
    kind = rng.choice(sorted(scene.kinds)) if true else absent
    return (statement(scene, f"a {spell(kind)}", true),)


def binding(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State that two kinds are shown; a false one swaps their shapes or names an absent kind."""
    scene = draw(None)
    if len(scene.kinds) < 2:
        return ()
    first, second = rng.sample(sorted(scene.kinds), 2)
    true = rng.random() < 0.5
    if not true:
        swapped = (first[0], second[1]), (second[0], first[1])
        absent = absent_kind(rng, scene)
        if rng.random() < 0.6 and all(kind not in NOVEL_KINDS for kind in swapped):
            first, second = swapped
        else:
            first, second = rng.sample((first, absent), 2)
    if (scene.kinds >= {first, second}) is not true:
        return ()
    return (statement(scene, both_text(first, second), true),)


def relation(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State a relation of two kinds; a false statement inverts it or names an absent kind."""
    scene = draw(None)
    pairs = [
        (a, word, b)
        for a in scene.things
        for b in scene.things
        for word in INVERSE
        if a.kind != b.kind and holds(a, word, b)
    ]
    if not pairs:
        return ()
    first, word, second = rng.choice(pairs)
    true = rng.random() < 0.5
    one, other = first.kind, second.kind
    if not true:
        chance = rng.random()
        absent = absent_kind(rng, scene)
        if chance < 0.45:
            word = INVERSE[word]
        elif chance < 0.85:
            one, other = other, one
        else:
            one, other = rng.sample((one, absent), 2)
    truth = _any_holds(scene, one, word, other)
    return () if truth is not true else (statement(scene, relation_text(one, word, other), true),)


def _any_holds(scene: Scene, first: Kind, word: str, second: Kind) -> bool | None:
    """Return whether the relation holds for any two things of these kinds; None if unclear."""
    pairs = [
        (a, b)
        for a in scene.things
        for b in scene.things
        if a is not b and a.kind == first and b.kind == second
    ]
    if any(holds(a, word, b) for a, b in pairs):
        return True
    return False if all(holds(a, INVERSE[word], b) for a, b in pairs) else None


def composition(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State that a kind is shown that the demo model never saw; a false one changes one part."""
    novel = rng.choice(NOVEL_KINDS)
    scene = draw([novel, *([rng.choice(KINDS)] if rng.random() < 0.5 else [])])
    true = rng.random() < 0.5
    kind = novel if true else absent_kind(rng, scene, KINDS)
    return (statement(scene, f"a {spell(kind)}", true),)


# Groups and pairs, as in NaturalBench and SugarCrepe. A group is two images and two statements,
# each true of exactly one image, in the order q0i0, q0i1, q1i0, q1i1. A pair is one image with a
# true and a false caption.


def _group(scenes: tuple[Scene, Scene], texts: tuple[str, str]) -> tuple[Item, ...]:
    return tuple(
        statement(scene, text, true=q == i)
        for q, text in enumerate(texts)
        for i, scene in enumerate(scenes)
    )


def group_exists(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Easy: each statement names a kind that only one of the images shows."""
    scenes = draw(None), draw(None)
    only = [sorted(scenes[i].kinds - scenes[1 - i].kinds) for i in range(2)]
    if not all(only):
        return ()
    return _group(scenes, (f"a {spell(rng.choice(only[0]))}", f"a {spell(rng.choice(only[1]))}"))


def group_binding(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Hard: both images have the same colours and shapes, in other combinations."""
    (c1, c2), (s1, s2) = rng.sample(tuple(COLORS), 2), rng.sample(SHAPE_NAMES, 2)
    straight: tuple[Kind, Kind] = (c1, s1), (c2, s2)
    crossed: tuple[Kind, Kind] = (c1, s2), (c2, s1)
    if any(kind in NOVEL_KINDS for kind in straight + crossed):
        return ()
    return _group((draw(straight), draw(crossed)), (both_text(*straight), both_text(*crossed)))


def group_relation(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Hard: both images have the same two things in opposite relations."""
    first = draw(None)
    if len(first.things) != 2 or first.things[0].kind == first.things[1].kind:
        return ()
    a, b = first.things
    words = [word for word in INVERSE if holds(a, word, b)]
    if not words:
        return ()
    word = rng.choice(words)
    for _ in range(20):
        second = draw([a.kind, b.kind])
        a2, b2 = second.things
        if holds(a2, INVERSE[word], b2):
            texts = (
                relation_text(a.kind, word, b.kind),
                relation_text(a.kind, INVERSE[word], b.kind),
            )
            return _group((first, second), texts)
    return ()


def caption_swap(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Pair a true caption of two kinds with one that swaps their shapes."""
    scene = draw(None)
    if len(scene.kinds) < 2:
        return ()
    first, second = rng.sample(sorted(scene.kinds), 2)
    swapped: tuple[Kind, Kind] = (first[0], second[1]), (second[0], first[1])
    if scene.kinds & set(swapped) or any(kind in NOVEL_KINDS for kind in swapped):
        return ()
    return (
        statement(scene, both_text(first, second), true=True),
        statement(scene, both_text(*swapped), true=False),
    )


def caption_replace(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Pair a true caption of one kind with one that replaces a part."""
    scene = draw(None)
    absent = absent_kind(rng, scene)
    present = rng.choice(sorted(scene.kinds))
    return (
        statement(scene, f"a {spell(present)}", true=True),
        statement(scene, f"a {spell(absent)}", true=False),
    )


# Choices: lettered options about one, two or three images, as in BLINK.

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
    question = f"Which image has another color than the others?{THREE_IMAGES}{LETTER}"
    return (Item(scenes, question, "ABC"[colors.index(odd)]),)


def third_image(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Three images of one thing each: ask which one shows a shape."""
    kinds = [
        rng.choice([k for k in FAMILIAR_KINDS if k[1] == s]) for s in rng.sample(SHAPE_NAMES, 3)
    ]
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


# Unseen: labels and concepts that are not in the demo model's training.

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
CREATURES = {"large": "mouse", "small": "whale"}
"""Size -> a name that suggests the opposite."""


def choose(what: str, names: Mapping[str, str], attribute: str) -> Ask:
    """Return what asks for the made-up name of an attribute of the only thing."""
    question = f"What {what} is this? Choose from {', '.join(names.values())}."
    return ask_only(question, lambda thing: names[getattr(thing, attribute)])


animal = choose("animal", ANIMALS, "shape")
fruit = choose("fruit", FRUITS, "color")
creature = ask_only("Is this a mouse or a whale?", lambda thing: CREATURES[thing.size])


def concept(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """Ask for a class that means `shows a red circle or a blue star`: 2 classes."""
    wanted = [("red", "circle"), ("blue", "star")]
    others = [kind for kind in FAMILIAR_KINDS if kind not in wanted]
    true = rng.random() < 0.5
    kinds = [rng.choice(wanted if true else others), rng.choice(others)]
    question = "Is this picture a blick or a dax?"
    return (Item((draw(rng.sample(kinds, 2)),), question, "blick" if true else "dax"),)


@dataclass(frozen=True, slots=True)
class Task:
    """One task, a subtask of the benchmark."""

    name: str
    family: str
    """classification, statement, group, pair, choice or unseen."""
    ask: Ask
    weak: bool = False
    """The demo model does badly on it; it is kept as a hard case."""


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("color", "classification", color),
        Task("shape", "classification", shape),
        Task("grey-shape", "classification", grey_shape),
        Task("kind", "classification", kind),
        Task("size", "classification", size),
        Task("position", "classification", position),
        Task("height", "classification", height),
        Task("count", "classification", count),
        Task("texture", "classification", texture, weak=True),
        Task("exists", "statement", exists),
        Task("binding", "statement", binding),
        Task("relation", "statement", relation),
        Task("composition", "statement", composition),
        Task("group-exists", "group", group_exists),
        Task("group-binding", "group", group_binding),
        Task("group-relation", "group", group_relation),
        Task("caption-replace", "pair", caption_replace),
        Task("caption-swap", "pair", caption_swap),
        Task("option", "choice", option),
        Task("corner", "choice", corner),
        Task("which-image", "choice", which_image),
        Task("more-things", "choice", more_things),
        Task("same-color", "choice", same_color, weak=True),
        Task("odd-one-out", "choice", odd_one_out, weak=True),
        Task("third-image", "choice", third_image),
        Task("animal", "unseen", animal),
        Task("fruit", "unseen", fruit),
        Task("creature", "unseen", creature),
        Task("concept", "unseen", concept, weak=True),
    )
}
"""Name -> task, in the order in which they are written."""
