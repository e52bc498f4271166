import math
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from savs.datasets.benchmarks.shapes.scenes import (
    CANVASES,
    COLORS,
    KINDS,
    Background,
    Canvas,
    Scene,
    Thing,
    draw,
    random_scene,
)

JITTER = 14
BLACK = Background("plain", (0, 0, 0), 0.0, 8, True, 0)
RIM, SCENES = 40, 80

pytestmark = pytest.mark.thorough


def random_scenes(canvas: Canvas, count: int = SCENES) -> Iterator[Scene]:
    for seed in range(count):
        rng = random.Random(seed)
        kinds = [rng.choice(KINDS) for _ in range(rng.randint(1, 4))]  # novel ones, too
        yield random_scene(rng, kinds, canvas)


def pixels_of(thing: Thing, canvas: Canvas) -> np.ndarray:
    """Where a thing is drawn, alone, as `(height, width)` bool."""
    scene = Scene((replace(thing, rgb=(255, 255, 255)),), BLACK, canvas)
    return np.asarray(draw(scene)).any(axis=2)


def upright(shape: str, angle: float = 0.0) -> np.ndarray:
    return pixels_of(
        Thing("red", shape, "large", 56.0, 56.0, 30.0, angle, COLORS["red"]), (112, 112)
    )


def reach(mask: np.ndarray) -> list[int]:
    """How far a mask reaches from (56, 56) to the left, up, right and down."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [56 - columns[0], 56 - rows[0], columns[-1] - 56, rows[-1] - 56]


@pytest.mark.parametrize("canvas", CANVASES)
def test_things_are_drawn_whole_apart_and_in_their_colours(canvas: Canvas) -> None:
    width, height = canvas
    drawn, kinds = set(), set()
    for scene in random_scenes(canvas):
        image = draw(scene)
        assert (scene.canvas, image.mode, image.size) == (canvas, "RGB", canvas)
        assert image.tobytes() == draw(scene).tobytes()
        covers = np.zeros((height, width), int)
        for thing in scene.things:
            pixel = image.getpixel((round(thing.x), round(thing.y)))
            assert pixel == thing.rgb
            assert np.abs(np.subtract(pixel, COLORS[thing.color])).max() <= JITTER
            moved = replace(thing, x=thing.x + RIM, y=thing.y + RIM)
            mask = pixels_of(moved, (width + 2 * RIM, height + 2 * RIM))
            inside = mask[RIM : RIM + height, RIM : RIM + width]
            assert inside.sum() == mask.sum() > 0, thing  # nothing is cut off
            covers += inside
        assert covers.max() == 1, scene
        drawn.add(image.tobytes())
        kinds |= scene.kinds
    assert (len(drawn), kinds) == (SCENES, {*KINDS})


def test_a_scene_has_the_kinds_it_is_asked_for_in_order() -> None:
    wanted = [("red", "star"), ("cyan", "circle"), ("red", "star")]
    scene = random_scene(random.Random(0), wanted, CANVASES[1])
    assert [(t.color, t.shape) for t in scene.things] == wanted
    assert scene.kinds == {("red", "star"), ("cyan", "circle")}


def test_things_are_turned_both_ways_by_at_most_twenty_degrees() -> None:
    angles = [t.angle for scene in random_scenes((112, 112)) for t in scene.things]
    assert -20 <= min(angles) < -15
    assert 15 < max(angles) <= 20


COS_18, COS_36 = math.cos(math.pi / 10), math.cos(math.pi / 5)


@pytest.mark.parametrize(
    ("shape", "angle", "radii"),
    [
        ("circle", 0, (1, 1, 1, 1)),
        ("square", 0, (0.88, 0.88, 0.88, 0.88)),
        # a diagonal: 0.88 times the root of 2
        ("square", 45, (1.245, 1.245, 1.245, 1.245)),
        ("triangle", 0, (1, 1, 1, 0.85)),
        ("triangle", 180, (1, 0.85, 1, 1)),
        # tips of 1.12 radii every 72 degrees: the second is 18 above the level of the centre, the
        # third 36 off straight down
        ("star", 0, (1.12 * COS_18, 1.12, 1.12 * COS_18, 1.12 * COS_36)),
        ("star", 180, (1.12 * COS_18, 1.12 * COS_36, 1.12 * COS_18, 1.12)),
    ],
)
def test_each_shape_reaches_as_far_as_it_should(
    shape: str, angle: float, radii: tuple[float, ...]
) -> None:
    assert reach(upright(shape, angle)) == pytest.approx([30 * r for r in radii], abs=1)


@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize(("texture", "along"), [("gradient", 1), ("stripes", 0)])
def test_a_texture_varies_along_one_axis_alone(texture: str, along: int, canvas: Canvas) -> None:
    background = Background(texture, (200, 190, 210), 20.0, 8, along == 1, 0)
    pixels = np.asarray(draw(Scene((), background, canvas))).astype(int)
    assert np.abs(np.diff(pixels, axis=1 - along)).max() == 0
    assert np.ptp(pixels, axis=along).min() >= 19


def test_a_plain_background_is_flat_and_noise_differs_by_its_seed() -> None:
    plain = Background("plain", (200, 190, 210), 0.0, 8, True, 0)
    flat, *noises = (
        np.asarray(draw(Scene((), background, (140, 84))))
        for background in (plain, *(replace(plain, texture="noise", strength=10.0, seed=n)
                                    for n in range(2)))
    )  # fmt: skip
    assert (flat == (200, 190, 210)).all()
    assert all(noise.std() > 5 for noise in noises)
    assert not np.array_equal(*noises)


def test_a_scene_belongs_to_one_part_by_what_stands_where() -> None:
    scene = random_scene(random.Random(3), part="test")
    for _ in range(20):
        other = replace(scene.background, seed=random.randrange(999), texture="noise")
        assert replace(scene, background=other).part == "test"
    parts = [next(iter(random_scenes((112, 112), 1))).part]
    parts += [replace(scene, canvas=(112 + n, 112)).part for n in range(400)]
    shares = {name: parts.count(name) / len(parts) for name in set(parts)}
    assert shares == pytest.approx({"curriculum": 0.5, "train": 0.25, "test": 0.25}, abs=0.1)


def test_a_part_draws_only_its_own_scenes_whatever_the_seed() -> None:
    for part in ("curriculum", "train", "test"):
        assert {random_scene(random.Random(n), part=part).part for n in range(200)} == {part}
    with pytest.raises(ValueError, match=r"'val', expected one of .*curriculum"):
        random_scene(random.Random(0), part="val")


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ("circle", math.pi),
        ("square", 4 * 0.88**2),
        ("triangle", 0.5 * 2 * 1.85),
        ("star", 10 * 0.5 * 1.12 * 0.45 * math.sin(math.pi / 5)),
    ],
)
def test_each_shape_covers_its_area(shape: str, share: float) -> None:
    assert upright(shape).sum() == pytest.approx(share * 30**2, rel=0.08)
