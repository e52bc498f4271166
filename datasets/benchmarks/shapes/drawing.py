"""A scene as an image."""

import math

import numpy as np
from PIL import Image, ImageDraw

from savs.datasets.benchmarks.shapes.scenes import Background, Canvas, Scene, Thing


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
