"""A scene as an image."""

import math

import numpy as np
from PIL import Image, ImageDraw

from savs.datasets.shapes.scenes import IMAGE_PX, Background, Scene, Thing


def draw(scene: Scene) -> Image.Image:
    """Return the scene as an RGB image of `IMAGE_PX` a side; the same scene, the same pixels."""
    image = _background(scene.background)
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        _draw_thing(pen, thing)
    return image


def _background(background: Background) -> Image.Image:
    along = np.arange(IMAGE_PX, dtype=np.float32)
    if background.texture == "gradient":
        wave = np.linspace(-1, 1, IMAGE_PX, dtype=np.float32)
    elif background.texture == "stripes":
        wave = (along // (background.period_px // 2)) % 2
    else:
        wave = np.zeros(IMAGE_PX, dtype=np.float32)
    plane = np.broadcast_to(wave if background.upright else wave[:, None], (IMAGE_PX, IMAGE_PX))
    if background.texture == "noise":
        plane = np.random.default_rng(background.seed).normal(size=plane.shape)
    pixels = np.asarray(background.base) + background.strength * plane[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing) -> None:
    x, y, r = thing.x, thing.y, thing.radius
    if thing.shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=thing.rgb)
    elif thing.shape == "square":
        half = 0.88 * r
        pen.rectangle((x - half, y - half, x + half, y + half), fill=thing.rgb)
    elif thing.shape == "triangle":
        pen.polygon([(x, y - r), (x + r, y + 0.85 * r), (x - r, y + 0.85 * r)], fill=thing.rgb)
    else:
        corners = []
        for corner in range(10):
            angle = math.pi * (corner / 5 - 1 / 2)
            reach = r * (1.12 if corner % 2 == 0 else 0.45)
            corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
        pen.polygon(corners, fill=thing.rgb)
