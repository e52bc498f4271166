import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise, product

import pytest

from savs.datasets.benchmarks.shapes import TASKS
from savs.datasets.benchmarks.shapes.scenes import CANVASES, NOVEL_KINDS, Scene, Thing
from savs.datasets.benchmarks.shapes.tasks import Item, drawer

pytestmark = pytest.mark.thorough

COLORS = ("red", "green", "blue", "yellow", "purple", "cyan")
SHAPES = ("circle", "square", "triangle", "star")
NOVEL = {("red", "star"), ("green", "circle"), ("blue", "triangle"), ("yellow", "square")}
KIND = r"(\w+) (\w+)"
UNITS = 150


def units(task: str) -> Iterator[tuple[Item, ...]]:
    rng = random.Random(f"labels of {task}")
    left = UNITS
    while left:
        unit = TASKS[task].ask(rng, drawer(rng, canvas=CANVASES[left % len(CANVASES)]))
        if unit:
            left -= 1
            yield unit


def of_kind(scene: Scene, color: str, shape: str) -> list[Thing]:
    assert color in COLORS
    assert shape in SHAPES
    return [t for t in scene.things if t.color == color and t.shape == shape]


def side(offset: float, clear: float, names: tuple[str, str]) -> str:
    return "unclear" if abs(offset) < clear else names[offset > 0]


def shows(scene: Scene, text: str) -> str:
    """Yes, No or unclear: whether the scene shows what a statement says."""
    if found := re.fullmatch(rf"a {KIND}", text):
        return "Yes" if of_kind(scene, *found.groups()) else "No"
    if found := re.fullmatch(rf"a {KIND} and a {KIND}", text):
        first, second = found.groups()[:2], found.groups()[2:]
        assert first != second
        return "Yes" if of_kind(scene, *first) and of_kind(scene, *second) else "No"
    found = re.fullmatch(rf"a {KIND} (to the left of|to the right of|above|below) a {KIND}", text)
    assert found is not None, text
    c1, s1, word, c2, s2 = found.groups()
    ahead = []  # by how many px the first of each pair of things stands where the word says
    for a, b in product(of_kind(scene, c1, s1), of_kind(scene, c2, s2)):
        right, down = a.x - b.x, a.y - b.y
        ahead.append(
            {"to the left of": -right, "to the right of": right, "above": -down, "below": down}[
                word
            ]
        )
    if any(px > 16 for px in ahead):
        return "Yes"
    return "No" if all(px < -16 for px in ahead) else "unclear"


def the_only(things: list[Thing]) -> Thing:
    (thing,) = things  # a question about one thing has no answer where there are two
    return thing


def named_thing(scene: Scene, color: str, shape: str) -> Thing:
    return the_only(of_kind(scene, color, shape))


Oracle = tuple[str, Callable[..., str]]
"""A pattern of the whole question, and its groups with the scenes -> the answer."""
STATEMENT: Oracle = (
    r"Does this image show (.+)\? Answer with Yes or No\.",
    lambda scenes, text: shows(*scenes, text),
)
ORACLES: dict[str, Oracle] = {
    "color": (
        r"What color is the (\w+)\?",
        lambda s, shape: the_only([t for t in s[0].things if t.shape == shape]).color,
    ),
    "shape": (
        r"What shape is the (\w+) object\?",
        lambda s, color: the_only([t for t in s[0].things if t.color == color]).shape,
    ),
    "grey-shape": (r"What shape is the object\?", lambda s: the_only([*s[0].things]).shape),
    "kind": (
        r"What object is in the image\?",
        lambda s: "{0.color} {0.shape}".format(the_only([*s[0].things])),
    ),
    "size": (
        rf"Is the {KIND} large or small\?",
        # the radius is 9.5 to 11.5 px where small, 16 to 19 where large
        lambda s, *kind: side(named_thing(s[0], *kind).radius - 13.75, 2, ("small", "large")),
    ),
    "position": (
        rf"Is the {KIND} on the left or on the right\?",
        lambda s, *kind: side(
            named_thing(s[0], *kind).x - s[0].canvas[0] / 2, 8, ("left", "right")
        ),
    ),
    "height": (
        rf"Is the {KIND} at the top or at the bottom\?",
        lambda s, *kind: side(
            named_thing(s[0], *kind).y - s[0].canvas[1] / 2, 8, ("top", "bottom")
        ),
    ),
    "count": (r"How many objects are there\?", lambda s: str(len(s[0].things))),
    "texture": (
        r"What is the background texture\? Answer with one word\.",
        lambda s: s[0].background.texture,
    ),
    "animal": (
        r"What animal is this\? Choose from cat, dog, bird, fish\.",
        lambda s: ("cat", "dog", "bird", "fish")[SHAPES.index(the_only([*s[0].things]).shape)],
    ),
    "fruit": (
        r"What fruit is this\? Choose from mango, fig, plum, kiwi, lime, date\.",
        lambda s: ("mango", "fig", "plum", "kiwi", "lime", "date")[
            COLORS.index(the_only([*s[0].things]).color)
        ],
    ),
    "creature": (
        r"Is this a mouse or a whale\?",
        lambda s: side(the_only([*s[0].things]).radius - 13.75, 2, ("whale", "mouse")),
    ),
    "concept": (
        r"Is this picture a blick or a dax\?",
        lambda s: (
            "blick" if of_kind(s[0], "red", "circle") + of_kind(s[0], "blue", "star") else "dax"
        ),
    ),
} | dict.fromkeys(("exists", "binding", "relation", "composition"), STATEMENT)
YES_NO = {"Yes", "No"}
LABELS = {
    "color": set(COLORS),
    "shape": set(SHAPES),
    "grey-shape": set(SHAPES),
    "size": {"large", "small"},
    "position": {"left", "right"},
    "height": {"top", "bottom"},
    "count": {"1", "2", "3", "4"},
    "texture": {"plain", "gradient", "noise", "stripes"},
    "animal": {"cat", "dog", "bird", "fish"},
    "fruit": {"mango", "fig", "plum", "kiwi", "lime", "date"},
    "creature": {"mouse", "whale"},
    "concept": {"blick", "dax"},
} | dict.fromkeys(("exists", "binding", "relation", "composition"), YES_NO)


@pytest.mark.parametrize("task", ORACLES)
def test_the_label_follows_from_the_scene(task: str) -> None:
    pattern, answer = ORACLES[task]
    for unit in units(task):
        (item,) = unit
        (scene,) = item.scenes
        found = re.fullmatch(pattern, item.question)
        assert found is not None, item.question
        assert item.label == answer([scene], *found.groups()), item


@pytest.mark.parametrize("task", ORACLES)
def test_every_class_comes_up_and_none_is_rare(task: str) -> None:
    labels = [item.label for unit in units(task) for item in unit]
    if task == "kind":
        assert len(set(labels)) == 12
    else:
        assert set(labels) == LABELS[task]
    assert min(labels.count(label) for label in labels) >= UNITS / len(set(labels)) / 4


@pytest.mark.parametrize("task", [name for name in TASKS if name != "composition"])
def test_no_scene_shows_and_no_question_names_a_novel_kind(task: str) -> None:
    assert set(NOVEL_KINDS) == NOVEL
    for unit in units(task):
        for item in unit:
            assert not {(t.color, t.shape) for s in item.scenes for t in s.things} & NOVEL
            words = re.findall(r"\w+", item.question + " " + item.label)
            assert not set(pairwise(words)) & NOVEL, item.question


def test_each_scene_of_composition_shows_a_novel_kind() -> None:
    shown = set()
    for (item,) in units("composition"):
        novel = {(t.color, t.shape) for t in item.scenes[0].things} & NOVEL
        assert novel
        shown |= novel
    assert shown == NOVEL


def test_false_statements_share_a_colour_or_a_shape_with_the_scene() -> None:
    near = []
    for (item,) in units("exists"):
        if item.label == "No":
            _, color, shape = re.fullmatch(r"(.*) a (\w+) (\w+)\?.*", item.question).groups()
            near.append(any(t.color == color or t.shape == shape for t in item.scenes[0].things))
    # one in ten is any absent kind, which shares something by chance or not
    assert sum(near) / len(near) > 0.85
