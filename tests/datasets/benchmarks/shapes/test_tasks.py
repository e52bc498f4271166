"""Labels follow from the scenes: each task against a slow oracle that reads its question."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, pairwise, product

import pytest

from savs.datasets.benchmarks.shapes import TASKS
from savs.datasets.benchmarks.shapes.scenes import CANVASES, NOVEL_KINDS, Scene, Thing
from savs.datasets.benchmarks.shapes.tasks import Item, drawer

pytestmark = pytest.mark.thorough

COLORS = ("red", "green", "blue", "yellow", "purple", "cyan")
SHAPES = ("circle", "square", "triangle", "star")
NOVEL = {("red", "star"), ("green", "circle"), ("blue", "triangle"), ("yellow", "square")}
ANIMALS, FRUITS = ["cat", "dog", "bird", "fish"], ["mango", "fig", "plum", "kiwi", "lime", "date"]
KIND = r"(\w+) (\w+)"
UNITS = 150
LETTER = r" Answer with the option letter\."
AB = r" \(A\) the first image \(B\) the second image"
ABC = AB + r" \(C\) the third image" + LETTER
QUARTERS = r"\(A\) top left \(B\) top right \(C\) bottom left \(D\) bottom right"
Scenes = tuple[Scene, ...]


def units(task: str) -> Iterator[tuple[Item, ...]]:
    rng = random.Random(f"labels of {task}")
    left = UNITS
    while left:
        unit = TASKS[task].ask(rng, drawer(rng, canvas=CANVASES[left % len(CANVASES)]))
        if unit:
            left -= 1
            yield unit


def kinds(scene: Scene) -> list[tuple[str, str]]:
    return [(thing.color, thing.shape) for thing in scene.things]


def of_kind(scene: Scene, color: str, shape: str) -> list[Thing]:
    assert color in COLORS
    assert shape in SHAPES
    return [t for t in scene.things if t.color == color and t.shape == shape]


def the_only(things: list[Thing]) -> Thing:
    (thing,) = things  # a question about one thing has no answer if there are two
    return thing


def only_thing(scenes: Scenes) -> Thing:
    return the_only([*scenes[0].things])


def named(scenes: Scenes, color: str, shape: str) -> Thing:
    return the_only(of_kind(scenes[0], color, shape))


def side(offset: float, clear: float, *names: str) -> str:
    return "unclear" if abs(offset) < clear else names[offset > 0]


def size(thing: Thing, *names: str) -> str:
    # the radius is 9.5 to 11.5 px where small, 16 to 19 where large
    return side(thing.radius - 13.75, 2, *names)


def middle(scenes: Scenes) -> tuple[float, float]:
    return scenes[0].canvas[0] / 2, scenes[0].canvas[1] / 2


def quarter(scenes: Scenes) -> str:
    thing, (x, y) = only_thing(scenes), middle(scenes)
    down = side(thing.y - y, 6, "top", "bottom")
    corners = ["top left", "top right", "bottom left", "bottom right"]
    return "ABCD"[corners.index(f"{down} {side(thing.x - x, 6, 'left', 'right')}")]


def letter(holds: list[bool]) -> str:
    """The letter of the only option that holds."""
    assert sum(holds) == 1, holds
    return "ABC"[holds.index(True)]


def odd_color(scenes: Scenes) -> str:
    colors = [scene.things[0].color for scene in scenes]
    return letter([colors.count(color) == 1 for color in colors])


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
        along = b.x - a.x if word.startswith("to the") else b.y - a.y
        ahead.append(along if word in ("to the left of", "above") else -along)
    if any(px > 16 for px in ahead):
        return "Yes"
    return "No" if all(px < -16 for px in ahead) else "unclear"


STATEMENT = r"Does this image show (.+)\? Answer with Yes or No\."
YES_NO = {"Yes", "No"}
Oracle = tuple[set[str] | int, str, Callable[..., str]]
"""All classes, or their number; a pattern of the whole question; the answer from the scenes and the
groups of the pattern."""
ORACLES: dict[str, Oracle] = {
    "color": (
        set(COLORS),
        r"What color is the (\w+)\?",
        lambda s, shape: the_only([t for t in s[0].things if t.shape == shape]).color,
    ),
    "shape": (
        set(SHAPES),
        r"What shape is the (\w+) object\?",
        lambda s, color: the_only([t for t in s[0].things if t.color == color]).shape,
    ),
    "grey-shape": (set(SHAPES), r"What shape is the object\?", lambda s: only_thing(s).shape),
    "kind": (12, r"What object is in the image\?", lambda s: " ".join(only_thing(s).kind)),
    "size": (
        {"large", "small"},
        rf"Is the {KIND} large or small\?",
        lambda s, *kind: size(named(s, *kind), "small", "large"),
    ),
    "position": (
        {"left", "right"},
        rf"Is the {KIND} on the left or on the right\?",
        lambda s, *kind: side(named(s, *kind).x - middle(s)[0], 8, "left", "right"),
    ),
    "height": (
        {"top", "bottom"},
        rf"Is the {KIND} at the top or at the bottom\?",
        lambda s, *kind: side(named(s, *kind).y - middle(s)[1], 8, "top", "bottom"),
    ),
    "count": (set("1234"), r"How many objects are there\?", lambda s: str(len(s[0].things))),
    "texture": (
        {"plain", "gradient", "noise", "stripes"},
        r"What is the background texture\? Answer with one word\.",
        lambda s: s[0].background.texture,
    ),
    "animal": (
        set(ANIMALS),
        r"What animal is this\? Choose from cat, dog, bird, fish\.",
        lambda s: ANIMALS[SHAPES.index(only_thing(s).shape)],
    ),
    "fruit": (
        set(FRUITS),
        r"What fruit is this\? Choose from mango, fig, plum, kiwi, lime, date\.",
        lambda s: FRUITS[COLORS.index(only_thing(s).color)],
    ),
    "creature": (
        {"mouse", "whale"},
        r"Is this a mouse or a whale\?",
        lambda s: size(only_thing(s), "whale", "mouse"),
    ),
    "concept": (
        {"blick", "dax"},
        r"Is this picture a blick or a dax\?",
        lambda s: "blick" if {("red", "circle"), ("blue", "star")} & {*kinds(s[0])} else "dax",
    ),
    "option": (
        set("AB"),
        rf"Which object is in the image\? \(A\) {KIND} \(B\) {KIND}{LETTER}",
        lambda s, a, b, c, d: letter([(a, b) in kinds(s[0]), (c, d) in kinds(s[0])]),
    ),
    "corner": (set("ABCD"), rf"Where is the object\? {QUARTERS}{LETTER}", quarter),
    "which-image": (
        set("AB"),
        rf"Which image shows a {KIND}\?{AB}{LETTER}",
        lambda scenes, *kind: letter([kind in kinds(scene) for scene in scenes]),
    ),
    "more-things": (
        set("AB"),
        rf"Which image has more objects\?{AB}{LETTER}",
        lambda s: letter([len(a.things) > len(b.things) for a, b in (s, s[::-1])]),
    ),
    "same-color": (
        YES_NO,
        r"Do both images show the same color\? Answer with Yes or No\.",
        lambda s: "Yes" if only_thing(s).color == only_thing(s[1:]).color else "No",
    ),
    "odd-one-out": (
        set("ABC"),
        rf"Which image has another color than the others\?{ABC}",
        odd_color,
    ),
    "third-image": (
        set("ABC"),
        rf"Which image shows a (\w+)\?{ABC}",
        lambda scenes, shape: letter([shape in dict(map(reversed, kinds(s))) for s in scenes]),
    ),
} | dict.fromkeys(
    ("exists", "binding", "relation", "composition"),
    (YES_NO, STATEMENT, lambda scenes, text: shows(*scenes, text)),
)


@pytest.mark.parametrize("task", ORACLES)
def test_the_label_follows_from_the_scenes_and_no_class_is_rare(task: str) -> None:
    classes, pattern, answer = ORACLES[task]
    labels: Counter[str] = Counter()
    for (item,) in units(task):
        match = re.fullmatch(pattern, item.question)
        assert match is not None, item.question
        assert item.label == answer(item.scenes, *match.groups()), item
        labels[item.label] += 1
    assert classes in (set(labels), len(labels))
    assert min(labels.values()) >= UNITS / len(labels) / 4


@pytest.mark.parametrize("task", [name for name in TASKS if name != "composition"])
def test_no_scene_shows_and_no_question_names_a_novel_kind(task: str) -> None:
    assert set(NOVEL_KINDS) == NOVEL
    for unit in units(task):
        for item in unit:
            assert not {kind for scene in item.scenes for kind in kinds(scene)} & NOVEL
            words = re.findall(r"\w+", item.question + " " + item.label)
            assert not set(pairwise(words)) & NOVEL, item.question


def test_each_scene_of_composition_shows_a_novel_kind() -> None:
    novel = [{*kinds(item.scenes[0])} & NOVEL for (item,) in units("composition")]
    assert all(novel)
    assert set.union(*novel) == NOVEL


def test_false_statements_of_composition_name_novel_kinds_too() -> None:
    said = [set(named_kinds(item)) for (item,) in units("composition") if item.label == "No"]
    assert set.union(*said) & NOVEL
    assert set.union(*said) - NOVEL


def test_false_statements_share_a_colour_or_a_shape_with_the_scene() -> None:
    near = []
    for (item,) in units("exists"):
        if item.label == "No":
            ((color, shape),) = named_kinds(item)
            near.append(any(t.color == color or t.shape == shape for t in item.scenes[0].things))
    # one in ten is any absent kind, which shares something by chance or not
    assert sum(near) / len(near) > 0.85


def text_of(item: Item) -> str:
    match = re.fullmatch(STATEMENT, item.question)
    assert match is not None, item.question
    return match[1]


def named_kinds(item: Item) -> list[tuple[str, str]]:
    return re.findall(rf"\ba {KIND}", text_of(item))


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        *(
            (f"group-{task}", ["Yes", "No", "No", "Yes"])  # q0i0 q0i1 q1i0 q1i1
            for task in ("exists", "binding", "relation")
        ),
        ("caption-swap", ["Yes", "No"]),
        ("caption-replace", ["Yes", "No"]),
    ],
)
def test_statements_of_a_unit_are_true_of_one_scene_each(task: str, labels: list[str]) -> None:
    for unit in units(task):
        scenes = [scene for item in unit for scene in item.scenes]
        texts = [text_of(item) for item in unit]
        truth = [shows(scene, text) for scene, text in zip(scenes, texts, strict=True)]
        assert truth == [item.label for item in unit] == labels, unit
        if len(labels) == 4:
            assert scenes[0] is scenes[2]
            assert scenes[1] is scenes[3]
            assert texts[0] == texts[1] != texts[2] == texts[3]
        else:
            assert scenes[0] is scenes[1]


def test_scenes_of_a_binding_group_have_the_same_colours_and_shapes() -> None:
    for unit in units("group-binding"):
        first, second = (kinds(item.scenes[0]) for item in unit[:2])
        for part in range(2):
            assert Counter(p[part] for p in first) == Counter(p[part] for p in second)
            assert len({p[part] for p in first}) == 2
        assert not set(first) & set(second)


def test_scenes_of_a_relation_group_have_the_same_two_things() -> None:
    words = set()
    for unit in units("group-relation"):
        first, second = (kinds(item.scenes[0]) for item in unit[:2])
        assert sorted(first) == sorted(second)
        assert len(set(first)) == 2
        assert named_kinds(unit[0]) == named_kinds(unit[2])
        words |= {tuple(re.findall("left|right|above|below", text_of(unit[i]))) for i in (0, 2)}
    assert words == {("left",), ("right",), ("above",), ("below",)}


def test_a_swapped_caption_has_the_words_of_the_true_one_bound_otherwise() -> None:
    for true, false in units("caption-swap"):
        right, wrong = named_kinds(true), named_kinds(false)
        assert [c for c, _ in right] == [c for c, _ in wrong]
        assert [s for _, s in right] == [s for _, s in wrong][::-1]
        assert not set(wrong) & set(kinds(true.scenes[0]))


def test_a_seed_draws_the_same_questions_in_every_version() -> None:
    """Figures of the documentation are of drawn questions: a change of a draw moves them."""
    drawn = [
        (item.question, item.label, item.grey, scene.background.texture, sorted(scene.kinds))
        for task in TASKS
        for unit in islice(units(task), 60)
        for item in unit
        for scene in item.scenes
    ]
    assert hashlib.sha256(repr(drawn).encode()).hexdigest()[:16] == "90949fe576464779"
