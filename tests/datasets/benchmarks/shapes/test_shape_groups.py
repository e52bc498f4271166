import random
import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from savs.datasets.benchmarks.shapes import TASKS
from savs.datasets.benchmarks.shapes.scenes import CANVASES, Scene
from savs.datasets.benchmarks.shapes.tasks import Item, drawer

UNITS = 150
KIND = r"(\w+) (\w+)"
STATEMENT = r"Does this image show (.+)\? Answer with Yes or No\."
AB = r" \(A\) the first image \(B\) the second image"
ABC = AB + r" \(C\) the third image"
LETTER = r" Answer with the option letter\."
Pair = tuple[str, str]


def units(task: str) -> Iterator[tuple[Item, ...]]:
    rng = random.Random(f"units of {task}")
    left = UNITS
    while left:
        unit = TASKS[task].ask(rng, drawer(rng, canvas=CANVASES[left % len(CANVASES)]))
        if unit:
            left -= 1
            yield unit


def text_of(item: Item) -> str:
    found = re.fullmatch(STATEMENT, item.question)
    assert found is not None, item.question
    return found[1]


def pairs(scene: Scene) -> list[Pair]:
    return [(thing.color, thing.shape) for thing in scene.things]


def named(text: str) -> list[Pair]:
    return re.findall(rf"\ba {KIND}", text)


def shows(scene: Scene, text: str) -> bool:
    if not set(named(text)) <= set(pairs(scene)):
        return False
    word = re.search(r"left|right|above|below", text)
    if word is None:
        return True
    # scenes of relations have two things of different kinds
    things = dict(zip(pairs(scene), scene.things, strict=True))
    first, second = (things[kind] for kind in named(text))
    right, down = first.x - second.x, first.y - second.y
    ahead = {"left": -right, "right": right, "above": -down, "below": down}[word[0]]
    assert abs(ahead) > 16, "unclear"
    return ahead > 0


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
        assert truth == [True, False, False, True], unit
        assert [item.label for item in unit] == ["Yes", "No", "No", "Yes"]


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
        assert shows(true.scenes[0], text_of(true))
        assert not shows(false.scenes[0], text_of(false))


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
        found = re.fullmatch(pattern + LETTER, item.question)
        assert found is not None, item.question
        assert len(item.scenes) == images
        assert item.label == answer(item.scenes, *found.groups()), item
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
