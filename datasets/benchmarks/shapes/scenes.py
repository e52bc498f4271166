"""Scenes: things on a background, placed at random and drawn as an image."""

import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from savs.foundation.errors import ParameterError

COLORS = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "yellow": (235, 210, 45),
    "purple": (150, 60, 180),
    "cyan": (50, 200, 215),
}
SHAPE_NAMES = ("circle", "square", "triangle", "star")
SIZES = {"small": (9.5, 11.5), "large": (16.0, 19.0)}
"""Size -> range of the radius in px."""
REACHES = {"circle": 1.0, "square": 1.245, "triangle": 1.313, "star": 1.12}
"""Shape -> distance of its farthest corner from the centre, in radii."""
TEXTURES = ("plain", "gradient", "noise", "stripes")

PARTS = ("curriculum", "curriculum", "train", "test")
"""Part of a scene, by its checksum modulo 4; so no two parts share a scene, whatever the seeds.
`curriculum` is the demo model's training data."""

Canvas = tuple[int, int]
"""Width and height in px."""
CANVASES: tuple[Canvas, ...] = ((112, 112), (140, 84), (84, 140))
GAP_PX = 2
TILT = 20
"""Largest rotation of a thing, in degrees."""

Kind = tuple[str, str]
"""`(color, shape)`."""
KINDS: tuple[Kind, ...] = tuple((color, shape) for color in COLORS for shape in SHAPE_NAMES)
NOVEL_KINDS: tuple[Kind, ...] = (
    ("red", "star"),
    ("green", "circle"),
    ("blue", "triangle"),
    ("yellow", "square"),
)
"""Pairs that are not in the demo model's training; they test composition."""
FAMILIAR_KINDS = tuple(kind for kind in KINDS if kind not in NOVEL_KINDS)


@dataclass(frozen=True, slots=True)
class Thing:
    """One coloured shape."""

    color: str
    shape: str
    size: str
    x: float
    """Centre, in px from the left."""
    y: float
    """Centre, in px from the top."""
    radius: float
    angle: float
    """Rotation, in degrees."""
    rgb: tuple[int, int, int]
    """The colour as drawn: the named one with some jitter."""

    @property
    def kind(self) -> Kind:
        """Colour and shape."""
        return self.color, self.shape


@dataclass(frozen=True, slots=True)
class Background:
    """Background of a scene."""

    texture: str
    base: tuple[int, int, int]
    strength: float
    """Contrast of the texture, in grey levels."""
    period_px: int
    """Width of a pair of stripes."""
    upright: bool
    """Whether the texture varies from left to right."""
    seed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Things that do not overlap, on a background."""

    things: tuple[Thing, ...]
    background: Background
    canvas: Canvas

    @property
    def kinds(self) -> set[Kind]:
        """All colour-shape pairs in the scene."""
        return {thing.kind for thing in self.things}

    @property
    def part(self) -> str:
        """The one of `PARTS` that may use this scene; it depends only on things and canvas."""
        content = repr((self.things, self.canvas)).encode()
        return PARTS[zlib.crc32(content) % len(PARTS)]


def random_kinds(rng: random.Random, count: int) -> list[Kind]:
    """Draw familiar kinds; later ones often share the first one's colour or shape."""
    kinds: list[Kind] = [rng.choice(FAMILIAR_KINDS)]
    color, shape = kinds[0]
    while len(kinds) < count:
        chance = rng.random()
        near = [
            kind
            for kind in FAMILIAR_KINDS
            if (chance < 0.22 and kind[0] == color) or (0.22 <= chance < 0.44 and kind[1] == shape)
        ]
        kinds.append(rng.choice(near or FAMILIAR_KINDS))
    return kinds


def random_scene(
    rng: random.Random,
    kinds: Sequence[Kind] | None = None,
    canvas: Canvas = CANVASES[0],
    part: str = "train",
) -> Scene:
    """Draw a scene with things of the given kinds, or with one to four random familiar ones."""
    if part not in PARTS:
        raise ParameterError(f"`part` is {part!r}, expected one of {sorted(set(PARTS))}")
    if kinds is None:
        kinds = random_kinds(rng, rng.choices((1, 2, 3, 4), (0.2, 0.35, 0.25, 0.2))[0])
    while True:
        sizes = [rng.choice(tuple(SIZES)) for _ in kinds]
        radii = [rng.uniform(*SIZES[size]) for size in sizes]
        reaches = [REACHES[shape] * r for (_, shape), r in zip(kinds, radii, strict=True)]
        centres = _place(rng, reaches, canvas)
        if centres is not None:
            break
    background = random_background(rng)
    while True:
        things = tuple(
            Thing(color, shape, size, x, y, radius, rng.uniform(-TILT, TILT), _jitter(rng, color))
            for (color, shape), size, radius, (x, y) in zip(
                kinds, sizes, radii, centres, strict=True
            )
        )
        scene = Scene(things, background, canvas)
        if scene.part == part:
            return scene


def _place(
    rng: random.Random, reaches: Sequence[float], canvas: Canvas
) -> list[tuple[float, float]] | None:
    """Return centres of things that stay apart, or None after thirty tries for one thing."""
    centres: list[tuple[float, float]] = []
    for reach in reaches:
        for _ in range(30):
            x, y = (rng.uniform(reach + 1, side - reach - 2) for side in canvas)
            apart = (
                math.hypot(x - a, y - b) > reach + other + GAP_PX
                for (a, b), other in zip(centres, reaches, strict=False)
            )
            if all(apart):
                centres.append((x, y))
                break
        else:
            return None
    return centres


def _jitter(rng: random.Random, color: str) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, v + rng.randint(-14, 14))) for v in COLORS[color])
    return red, green, blue


def random_background(rng: random.Random) -> Background:
    """Draw a nearly grey background of one of the four textures."""
    texture = rng.choice(TEXTURES)
    grey = rng.randint(0, 255)
    if 70 <= grey <= 150:  # mid greys hide the things
        grey = rng.choice((30, 60, 170, 220, 245))
    red, green, blue = (min(255, max(0, grey + rng.randint(-12, 12))) for _ in range(3))
    ranges = {"plain": (0, 0), "gradient": (15, 35), "noise": (8, 16), "stripes": (14, 26)}
    sign = rng.choice((-1, 1)) if texture == "gradient" else 1
    return Background(
        texture=texture,
        base=(red, green, blue),
        strength=sign * rng.uniform(*ranges[texture]),
        period_px=rng.choice((8, 10, 14, 20)),
        upright=rng.random() < 0.5,
        seed=rng.getrandbits(32),
    )


def draw(scene: Scene, *, grey: bool = False) -> Image.Image:
    """Return the scene as an RGB image of its canvas, or a grey one: same scene, same pixels."""
    image = _background(scene.background, scene.canvas)
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        _draw_thing(pen, thing)
    return image.convert("L") if grey else image


def _background(background: Background, canvas: Canvas) -> Image.Image:
    width, height = canvas
    along = width if background.upright else height
    if background.texture == "gradient":
        wave = np.linspace(-1, 1, along, dtype=np.float32)
    elif background.texture == "stripes":
        wave = (np.arange(along) // (background.period_px // 2)) % 2
    else:
        wave = np.zeros(along, dtype=np.float32)
    plane = np.broadcast_to(wave if background.upright else wave[:, None], (height, width))
    if background.texture == "noise":
        plane = np.random.default_rng(background.seed).standard_normal((height, width), np.float32)
    pixels = np.asarray(background.base) + background.strength * plane[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing) -> None:
    r = thing.radius
    if thing.shape == "circle":
        box = (thing.x - r, thing.y - r, thing.x + r, thing.y + r)
        pen.ellipse(box, fill=thing.rgb)
        return
    turn = math.radians(thing.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    corners = [
        (thing.x + r * (x * cos - y * sin), thing.y + r * (x * sin + y * cos))
        for x, y in OUTLINES[thing.shape]
    ]
    pen.polygon(corners, fill=thing.rgb)


def _star() -> list[tuple[float, float]]:
    corners = []
    for corner in range(10):
        angle = math.pi * (corner / 5 - 1 / 2)
        reach = 1.12 if corner % 2 == 0 else 0.45
        corners.append((reach * math.cos(angle), reach * math.sin(angle)))
    return corners


OUTLINES = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -1.0), (1.0, 0.85), (-1.0, 0.85)],
    "star": _star(),
}
"""Shape -> its corners around the centre, in radii, y downwards."""
