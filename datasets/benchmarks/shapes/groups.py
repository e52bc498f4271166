"""Groups and pairs of items, as in NaturalBench and SugarCrepe.

A group is two images and two statements, each true of exactly one image, in the order q0i0, q0i1,
q1i0, q1i1. A pair is one image with a true and a false caption.
"""

import random

from savs.datasets.benchmarks.shapes.items import Draw, Item, absent_kind, spell
from savs.datasets.benchmarks.shapes.scenes import COLORS, NOVEL_KINDS, SHAPES, Kind, Scene
from savs.datasets.benchmarks.shapes.statements import (
    INVERSE,
    both_text,
    holds,
    relation_text,
    statement,
)


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
    (c1, c2), (s1, s2) = rng.sample(tuple(COLORS), 2), rng.sample(SHAPES, 2)
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
        if holds(*(second.things[0], INVERSE[word], second.things[1])):
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
    if absent is None:
        return ()
    present = rng.choice(sorted(scene.kinds))
    return (
        statement(scene, f"a {spell(present)}", true=True),
        statement(scene, f"a {spell(absent)}", true=False),
    )
