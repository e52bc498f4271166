"""Labels follow from the scenes: each task against a slow oracle that reads its question."""

import random
import re
from collections import Counter
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
AB = r" \(A\) the first image \(B\) the second image"
ABC = AB + r" \(C\) the third image"
LETTER = r" Answer with the option letter\."


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
    if match := re.fullmatch(rf"a {KIND}", text):
        return "Yes" if of_kind(scene, *match.groups()) else "No"
    if match := re.fullmatch(rf"a {KIND} and a {KIND}", text):
        first, second = match.groups()[:2], match.groups()[2:]
        assert first != second
        return "Yes" if of_kind(scene, *first) and of_kind(scene, *second) else "No"
    match = re.fullmatch(rf"a {KIND} (to the left of|to the right of|above|below) a {KIND}", text)
    assert match is not None, text
    c1, s1, word, c2, s2 = match.groups()
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
        match = re.fullmatch(pattern, item.question)
        assert match is not None, item.question
        assert item.label == answer([scene], *match.groups()), item


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


def text_of(item: Item) -> str:
    match = re.fullmatch(STATEMENT[0], item.question)
    assert match is not None, item.question
    return match[1]


def pairs(scene: Scene) -> list[tuple[str, str]]:
    return [(thing.color, thing.shape) for thing in scene.things]


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(rf"\ba {KIND}", text)


def letter(place: list[bool]) -> str:
    """The letter of the only option that holds."""
    assert sum(place) == 1, place
    return "ABC"[place.index(True)]


@pytest.mark.parametrize("task", ["group-exists", "group-binding", "group-relation"])
def test_a_group_has_two_statements_each_true_of_one_of_two_scenes(task: str) -> None:
    for unit in units(task):
        assert len(unit) == 4
        scenes = [item.scenes[0] for item in unit]
        texts = [text_of(item) for item in unit]
        assert [len(item.scenes) for item in unit] == [1] * 4
        # q0i0 q0i1 q1i0 q1i1
        assert scenes[0] is scenes[2]
        assert scenes[1] is scenes[3]
        assert scenes[0] != scenes[1]
        assert texts[0] == texts[1] != texts[2] == texts[3]
        truth = [shows(scene, text) for scene, text in zip(scenes, texts, strict=True)]
        assert truth == [item.label for item in unit] == ["Yes", "No", "No", "Yes"], unit


def test_scenes_of_a_binding_group_have_the_same_colours_and_shapes() -> None:
    for unit in units("group-binding"):
        first, second = (pairs(item.scenes[0]) for item in unit[:2])
        for part in range(2):
            assert Counter(p[part] for p in first) == Counter(p[part] for p in second)
            assert len({p[part] for p in first}) == 2
        assert not set(first) & set(second)


def test_scenes_of_a_relation_group_have_the_same_two_things() -> None:
    words = set()
    for unit in units("group-relation"):
        first, second = (pairs(item.scenes[0]) for item in unit[:2])
        assert sorted(first) == sorted(second)
        assert len(set(first)) == 2
        assert named(text_of(unit[0])) == named(text_of(unit[2]))
        words |= {tuple(re.findall("left|right|above|below", text_of(unit[i]))) for i in (0, 2)}
    assert words == {("left",), ("right",), ("above",), ("below",)}


@pytest.mark.parametrize("task", ["caption-swap", "caption-replace"])
def test_a_pair_has_a_true_and_a_false_caption_of_one_scene(task: str) -> None:
    for unit in units(task):
        true, false = unit
        assert len(true.scenes) == len(false.scenes) == 1
        assert true.scenes[0] is false.scenes[0]
        assert (true.label, false.label) == ("Yes", "No")
        assert [shows(item.scenes[0], text_of(item)) for item in unit] == ["Yes", "No"]


def test_a_swapped_caption_has_the_words_of_the_true_one_bound_otherwise() -> None:
    for true, false in units("caption-swap"):
        right, wrong = named(text_of(true)), named(text_of(false))
        assert [c for c, _ in right] == [c for c, _ in wrong]
        assert [s for _, s in right] == [s for _, s in wrong][::-1]
        assert not set(wrong) & set(pairs(true.scenes[0]))


def quarter(scenes: tuple[Scene, ...]) -> str:
    (thing,) = scenes[0].things
    right, down = thing.x - scenes[0].canvas[0] / 2, thing.y - scenes[0].canvas[1] / 2
    assert min(abs(right), abs(down)) >= 6, "in no quarter"
    return {(-1, -1): "A", (1, -1): "B", (-1, 1): "C", (1, 1): "D"}[
        (1 if right > 0 else -1, 1 if down > 0 else -1)
    ]


def odd_color(scenes: tuple[Scene, ...]) -> str:
    colors = [scene.things[0].color for scene in scenes]
    return letter([colors.count(color) == 1 for color in colors])


CHOICES: dict[str, tuple[int, set[str], str, Callable[..., str]]] = {
    "option": (
        1,
        set("AB"),
        rf"Which object is in the image\? \(A\) {KIND} \(B\) {KIND}",
        lambda s, a, b, c, d: letter([(a, b) in pairs(s[0]), (c, d) in pairs(s[0])]),
    ),
    "corner": (
        1,
        set("ABCD"),
        r"Where is the object\? \(A\) top left \(B\) top right \(C\) bottom left"
        r" \(D\) bottom right",
        quarter,
    ),
    "which-image": (
        2,
        set("AB"),
        rf"Which image shows a {KIND}\?{AB}",
        lambda scenes, *kind: letter([kind in pairs(scene) for scene in scenes]),
    ),
    "more-things": (
        2,
        set("AB"),
        rf"Which image has more objects\?{AB}",
        lambda s: letter([len(a.things) > len(b.things) for a, b in (s, s[::-1])]),
    ),
    "odd-one-out": (
        3,
        set("ABC"),
        rf"Which image has another color than the others\?{ABC}",
        odd_color,
    ),
    "third-image": (
        3,
        set("ABC"),
        rf"Which image shows a (\w+)\?{ABC}",
        lambda scenes, shape: letter([shape in dict(map(reversed, pairs(s))) for s in scenes]),
    ),
}


@pytest.mark.parametrize("task", CHOICES)
def test_the_letter_is_that_of_the_only_right_option(task: str) -> None:
    images, letters, pattern, answer = CHOICES[task]
    labels: Counter[str] = Counter()
    for unit in units(task):
        (item,) = unit
        match = re.fullmatch(pattern + LETTER, item.question)
        assert match is not None, item.question
        assert len(item.scenes) == images
        assert item.label == answer(item.scenes, *match.groups()), item
        labels[item.label] += 1
    assert set(labels) == letters
    assert min(labels.values()) >= UNITS / len(letters) / 2


def test_same_color_is_yes_where_both_things_have_one_colour() -> None:
    labels: Counter[str] = Counter()
    for unit in units("same-color"):
        (item,) = unit
        assert item.question == "Do both images show the same color? Answer with Yes or No."
        (first,), (second,) = (scene.things for scene in item.scenes)
        assert item.label == ("Yes" if first.color == second.color else "No")
        labels[item.label] += 1
    assert min(labels["Yes"], labels["No"]) >= UNITS / 4
