import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from savs.datasets.shapes import SUBTASKS
from savs.datasets.shapes.drawing import draw
from savs.datasets.shapes.questions import Item
from savs.datasets.shapes.scenes import Background, Scene, Thing, random_scene

SIDE = 112
RGB = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "yellow": (235, 210, 45),
    "purple": (150, 60, 180),
    "cyan": (50, 200, 215),
}
SHAPES = {"circle", "square", "triangle", "star"}
QUESTIONS = {
    "exists": r"Does this image show a (?P<color>\w+) (?P<shape>\w+)\? Answer with Yes or No\.",
    "color": r"What color is the (?P<shape>\w+)\?",
    "shape": r"What shape is the (?P<color>\w+) object\?",
    "position": r"Is the (?P<color>\w+) (?P<shape>\w+) on the left or on the right\?",
    "animal": r"What animal is this\? Choose from cat, dog, bird, fish\.",
}
ANIMALS = {"circle": "cat", "square": "dog", "triangle": "bird", "star": "fish"}
BLACK = Background("plain", (0, 0, 0), 0.0, 8, True, 0)


def items(subtask: str, count: int = 300) -> Iterator[Item]:
    rng = random.Random(subtask)
    while count:
        item = SUBTASKS[subtask](rng)
        if item is not None:
            count -= 1
            yield item


def asked_about(item: Item, subtask: str) -> list[Thing]:
    """The things of the scene that have the colour and the shape that the question names."""
    found = re.fullmatch(QUESTIONS[subtask], item.question)
    assert found is not None, item.question
    return [
        thing
        for thing in item.scene.things
        if all(getattr(thing, name) == word for name, word in found.groupdict().items())
    ]


def answer(item: Item, subtask: str) -> str:
    things = asked_about(item, subtask)
    if subtask == "exists":
        return "Yes" if things else "No"
    (thing,) = things  # the question is about one thing, or it has no answer
    if subtask == "position":
        assert abs(thing.x - SIDE / 2) >= 8, "on no side"
        return "left" if thing.x < SIDE / 2 else "right"
    return {"color": thing.color, "shape": thing.shape, "animal": ANIMALS[thing.shape]}[subtask]


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_labels_follow_from_the_scene(subtask: str) -> None:
    assert [item.label for item in items(subtask)] == [
        answer(item, subtask) for item in items(subtask)
    ]


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_no_label_prevails(subtask: str) -> None:
    counts = Counter(item.label for item in items(subtask))
    even = 300 / len(counts)
    # all labels are equally likely: 5 standard deviations of a binomial count
    spread = 5 * math.sqrt(even * (1 - 1 / len(counts)))
    assert all(abs(count - even) < spread for count in counts.values()), counts


def test_a_pair_that_is_not_there_shares_a_colour_or_a_shape_with_one_that_is() -> None:
    for item in items("exists"):
        color, shape = re.fullmatch(QUESTIONS["exists"], item.question).groups()
        assert color in RGB
        assert shape in SHAPES
        assert any(t.color == color or t.shape == shape for t in item.scene.things)


COS_18, COS_36 = math.cos(math.pi / 10), math.cos(math.pi / 5)
TIP = 1.12
"""How far a star reaches, in radii; the first of its five tips points straight up."""
REACH = {
    "circle": (1, 1, 1, 1),
    "square": (0.88, 0.88, 0.88, 0.88),
    "triangle": (1, 1, 1, 0.85),
    # tips every 72 degrees: the second is 18 above the level of the centre, the third 36 off down
    "star": (TIP * COS_18, TIP, TIP * COS_18, TIP * COS_36),
}
"""How far a thing reaches to the left, up, right and down, in radii."""


def random_scenes(count: int = 400) -> Iterator[Scene]:
    return (random_scene(random.Random(seed)) for seed in range(count))


def test_things_lie_within_the_image() -> None:
    for scene in random_scenes(3000):
        for thing in scene.things:
            left, up, right, down = (reach * thing.radius for reach in REACH[thing.shape])
            # half a pixel: the tip of a large star may round into the outermost row
            assert min(thing.x - left, thing.y - up) >= -0.5, thing
            assert max(thing.x + right, thing.y + down) <= SIDE - 0.5, thing


def pixels_of(thing: Thing) -> np.ndarray:
    """Where a thing is drawn, alone, as `(112, 112)` bool."""
    alone = draw(Scene((replace(thing, rgb=(255, 255, 255)),), BLACK))
    return np.asarray(alone).any(axis=2)


def shared_pixels(scene: Scene) -> int:
    """Pixels that more than one thing covers."""
    return int((sum(pixels_of(thing).astype(int) for thing in scene.things) > 1).sum())


def test_things_do_not_overlap() -> None:
    assert [shared_pixels(scene) for scene in random_scenes()] == [0] * 400


@pytest.mark.parametrize("seed", [14288, 9996, 2212])
def test_corners_do_not_overlap_either(seed: int) -> None:
    assert shared_pixels(random_scene(random.Random(seed))) == 0


def test_scenes_are_drawn_as_rgb_of_112_px_the_same_each_time() -> None:
    for scene in random_scenes(40):
        image = draw(scene)
        assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))
        assert image.tobytes() == draw(scene).tobytes()


def test_the_pixel_at_the_centre_has_the_colour_of_the_thing() -> None:
    seen = set()
    for scene in random_scenes():
        image = draw(scene)
        for thing in scene.things:
            pixel = image.getpixel((round(thing.x), round(thing.y)))
            assert pixel == thing.rgb
            assert max(abs(a - b) for a, b in zip(pixel, RGB[thing.color], strict=True)) <= 14
            seen.add((thing.color, thing.shape))
    assert seen == {(color, shape) for color in RGB for shape in SHAPES}


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ("circle", math.pi),
        ("square", 4 * 0.88**2),
        ("triangle", 0.5 * 2 * 1.85),
        # ten triangles between a tip at 1.12 r and a notch at 0.45 r, 36 degrees apart
        ("star", 10 * 0.5 * 1.12 * 0.45 * math.sin(math.pi / 5)),
    ],
)
def test_each_shape_covers_its_area(shape: str, share: float) -> None:
    thing = Thing("red", shape, "large", 56.0, 56.0, 30.0, RGB["red"])
    # an edge may gain half a pixel all around: about 2 r pi / 2 px of 900 times the share
    assert pixels_of(thing).sum() == pytest.approx(share * 30**2, rel=0.08)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_each_shape_reaches_as_far_as_it_should(shape: str) -> None:
    mask = pixels_of(Thing("red", shape, "large", 56.0, 56.0, 30.0, RGB["red"]))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    reach = [56 - columns[0], 56 - rows[0], columns[-1] - 56, rows[-1] - 56]
    assert reach == pytest.approx([30 * radii for radii in REACH[shape]], abs=1)


@pytest.mark.parametrize(("texture", "upright"), [("gradient", True), ("stripes", False)])
def test_a_texture_varies_along_one_axis_alone(texture: str, upright: bool) -> None:
    background = Background(texture, (200, 190, 210), 20.0, 8, upright, 0)
    pixels = np.asarray(draw(Scene((), background))).astype(int)
    along, across = (1, 0) if upright else (0, 1)
    assert np.abs(np.diff(pixels, axis=across)).max() == 0
    assert np.ptp(pixels, axis=along).min() >= 19
