import math
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from savs.datasets.benchmarks.shapes.scenes import (
    CANVASES,
    KINDS,
    Background,
    Canvas,
    Scene,
    Thing,
    draw,
    random_scene,
)

RGB = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "yellow": (235, 210, 45),
    "purple": (150, 60, 180),
    "cyan": (50, 200, 215),
}
SHAPES = ("circle", "square", "triangle", "star")
JITTER = 14
BLACK = Background("plain", (0, 0, 0), 0.0, 8, True, 0)
RIM = 40

pytestmark = pytest.mark.thorough


def random_scenes(canvas: Canvas, count: int = 200) -> Iterator[Scene]:
    for seed in range(count):
        rng = random.Random(seed)
        kinds = [rng.choice(KINDS) for _ in range(rng.randint(1, 4))]  # novel ones, too
        yield random_scene(rng, kinds, canvas)


def pixels_of(thing: Thing, canvas: Canvas) -> np.ndarray:
    """Where a thing is drawn, alone, as `(height, width)` bool."""
    scene = Scene((replace(thing, rgb=(255, 255, 255)),), BLACK, canvas)
    return np.asarray(draw(scene)).any(axis=2)


def upright(shape: str, angle: float = 0.0) -> np.ndarray:
    return pixels_of(Thing("red", shape, "large", 56.0, 56.0, 30.0, angle, RGB["red"]), (112, 112))


def reach(mask: np.ndarray) -> list[int]:
    """How far a mask reaches from (56, 56) to the left, up, right and down."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [56 - columns[0], 56 - rows[0], columns[-1] - 56, rows[-1] - 56]


@pytest.mark.parametrize("canvas", CANVASES)
def test_nothing_is_cut_off_at_the_edge_of_the_canvas(canvas: Canvas) -> None:
    width, height = canvas
    for scene in random_scenes(canvas, 400):
        assert scene.canvas == canvas
        for thing in scene.things:
            moved = replace(thing, x=thing.x + RIM, y=thing.y + RIM)
            mask = pixels_of(moved, (width + 2 * RIM, height + 2 * RIM))
            inside = mask[RIM : RIM + height, RIM : RIM + width]
            assert inside.any()
            assert inside.sum() == mask.sum(), thing


@pytest.mark.parametrize("canvas", CANVASES)
def test_things_share_no_pixel(canvas: Canvas) -> None:
    for scene in random_scenes(canvas):
        covers = sum(pixels_of(thing, canvas).astype(int) for thing in scene.things)
        assert covers.max() == 1, scene


@pytest.mark.parametrize("canvas", CANVASES)
def test_the_pixel_at_the_centre_has_the_colour_of_the_thing(canvas: Canvas) -> None:
    seen = set()
    for scene in random_scenes(canvas):
        image = draw(scene)
        for thing in scene.things:
            pixel = image.getpixel((round(thing.x), round(thing.y)))
            assert pixel == thing.rgb
            assert max(abs(a - b) for a, b in zip(pixel, RGB[thing.color], strict=True)) <= JITTER
            seen.add((thing.color, thing.shape))
    assert seen == {(color, shape) for color in RGB for shape in SHAPES}


@pytest.mark.parametrize("canvas", CANVASES)
def test_a_scene_is_drawn_as_rgb_of_its_canvas_the_same_each_time(canvas: Canvas) -> None:
    drawn = set()
    for scene in random_scenes(canvas, 40):
        image = draw(scene)
        assert (image.mode, image.size) == ("RGB", canvas)
        assert image.tobytes() == draw(scene).tobytes()
        drawn.add(image.tobytes())
    assert len(drawn) == 40


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
    # an edge may gain half a pixel all around: about 2 r pi / 2 px of 900 times the share
    assert upright(shape).sum() == pytest.approx(share * 30**2, rel=0.08)


@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize(("texture", "along"), [("gradient", 1), ("stripes", 0)])
def test_a_texture_varies_along_one_axis_alone(texture: str, along: int, canvas: Canvas) -> None:
    background = Background(texture, (200, 190, 210), 20.0, 8, along == 1, 0)
    pixels = np.asarray(draw(Scene((), background, canvas))).astype(int)
    assert np.abs(np.diff(pixels, axis=1 - along)).max() == 0
    assert np.ptp(pixels, axis=along).min() >= 19


def test_a_plain_background_is_flat_and_noise_is_neither_flat_nor_the_same_for_two_seeds() -> None:
    plain = Background("plain", (200, 190, 210), 0.0, 8, True, 0)
    flat = np.asarray(draw(Scene((), plain, (140, 84))))
    assert {tuple(pixel) for pixel in flat.reshape(-1, 3).tolist()} == {(200, 190, 210)}
    noises = [
        np.asarray(
            draw(Scene((), replace(plain, texture="noise", strength=10.0, seed=n), (84, 140)))
        )
        for n in range(2)
    ]
    assert all(noise.std() > 5 for noise in noises)
    assert not np.array_equal(*noises)


@pytest.mark.parametrize("part", ["curriculum", "train", "test"])
def test_a_part_draws_only_its_own_scenes_whatever_the_seed(part: str) -> None:
    for seed in range(200):
        assert random_scene(random.Random(seed), part=part).part == part


def test_a_scene_belongs_to_one_part_by_what_stands_where() -> None:
    scene = random_scene(random.Random(3), part="test")
    for _ in range(20):
        other = replace(scene.background, seed=random.randrange(999), texture="noise")
        assert replace(scene, background=other).part == "test"
    parts = [next(iter(random_scenes((112, 112), 1))).part]
    parts += [replace(scene, canvas=(112 + n, 112)).part for n in range(400)]
    shares = {name: parts.count(name) / len(parts) for name in set(parts)}
    assert shares == pytest.approx({"curriculum": 0.5, "train": 0.25, "test": 0.25}, abs=0.1)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'val', expected one of .*curriculum"):
        random_scene(random.Random(0), part="val")
