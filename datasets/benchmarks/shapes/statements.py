"""Statements about one scene, true or false."""

import random

from savs.datasets.benchmarks.shapes.items import YES_NO, Draw, Item, absent_kind, spell
from savs.datasets.benchmarks.shapes.scenes import KINDS, NOVEL_KINDS, Kind, Scene, Thing

INVERSE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
"""Relation -> its inverse."""
IMAGE_SHOWS = "Does this image show "
CLEAR_PX = 16
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
    return distance > CLEAR_PX


def exists(rng: random.Random, draw: Draw) -> tuple[Item, ...]:
    """State that a kind is shown; a false statement mostly mixes attributes of shown things."""
    scene = draw(None)
    absent = absent_kind(rng, scene)
    true = rng.random() < 0.5
    kind = rng.choice(sorted(scene.kinds)) if true else absent
    return () if kind is None else (statement(scene, f"a {spell(kind)}", true),)


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
        elif absent is not None:
            first, second = rng.sample((first, absent), 2)
    if first == second or (scene.kinds >= {first, second}) is not true:
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
        elif chance < 0.85 or absent is None:
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
    return () if kind is None else (statement(scene, f"a {spell(kind)}", true),)
