"""Stage 1: teach the vision tower what is in each patch. Without it, shapes are not learnt.

Two linear heads, thrown away afterwards, name what lies on each patch and merged token: whether a
thing is there, its colour, shape and size, and for merged tokens how far off its centre is.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

from demo_model.ahead import one_ahead
from demo_model.curriculum import PART
from demo_model.forward import see
from demo_model.optimisers import Training, mean
from savs.datasets.benchmarks.shapes.scenes import (
    CANVASES,
    COLORS,
    SHAPE_NAMES,
    SIZES,
    Canvas,
    Scene,
    draw,
    random_scene,
)

RATES = (2e-3, 4e-3)
IMAGES = 96
LABELS = 1 + len(COLORS) + len(SHAPE_NAMES) + len(SIZES)
GREY_SHARE = 0.1
"""How many images are drawn without colour, which they then need not name."""
SHAPE = 1
"""Column of the shape among the labels; where it is -1, nothing is."""
Labels = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
EDGE_PX = 3
"""A patch this near to a thing's box counts as part of it."""


def train_vision(model: Any, steps: int, seed: int, log: Callable[[dict[str, Any]], None]) -> None:
    """Train the vision tower of a model in place."""
    width, merged = model.config.vision_config.embed_dim, model.config.vision_config.hidden_size
    torch.manual_seed(seed)
    master = nn.ModuleDict(
        {"model": model, "patch": nn.Linear(width, LABELS), "token": nn.Linear(merged, LABELS + 2)}
    )
    training = Training(master, RATES, steps)
    worker: Any = training.worker
    rng = random.Random(f"savs training vision {seed}")
    scores: list[list[float]] = []
    for step, batch in enumerate(one_ahead(_batch(rng) for _ in range(steps)), start=1):
        canvas, pixels, (on_patch, on_token, offsets) = batch
        training.refresh()
        patches, tokens = see(worker["model"], pixels, (canvas[1] // 14, canvas[0] // 14))
        there = worker["patch"](patches).float().flatten(0, 1)
        place = worker["token"](tokens).float().flatten(0, 1)
        patch_loss, _ = label_loss(there, on_patch)
        token_loss, right = label_loss(place[:, :-2], on_token)
        filled = on_token[:, SHAPE] >= 0
        offset_loss = F.smooth_l1_loss(place[filled, -2:], offsets[filled])
        training.learn(0.5 * patch_loss + token_loss + offset_loss)
        scores.append(right)
        if step % 100 == 0 or step == steps:
            names = ("there", "color", "shape", "size")
            means = {n: round(mean(s[i] for s in scores), 3) for i, n in enumerate(names)}
            log({"stage": "vision", "step": step, **means})
            scores.clear()


def _batch(rng: random.Random) -> tuple[Canvas, torch.Tensor, Labels]:
    canvas = CANVASES[0] if rng.random() < 0.6 else rng.choice(CANVASES[1:])
    scenes = [random_scene(rng, canvas=canvas, part=PART) for _ in range(IMAGES)]
    greys = [rng.random() < GREY_SHARE for _ in scenes]
    images = [
        draw(scene, grey=grey).convert("RGB") for scene, grey in zip(scenes, greys, strict=True)
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return canvas, pixels, _labels(scenes, greys, canvas)


def _labels(scenes: list[Scene], greys: list[bool], canvas: Canvas) -> Labels:
    """Return colour, shape and size on each patch and merged token (-1 for none), offsets."""
    width, height = canvas
    x, y = _patch_centres(width, height)
    across, down = width // 28, height // 28
    patches = np.full((len(scenes), x.size, 3), -1)
    tokens = np.full((len(scenes), across * down, 3), -1)
    offsets = np.zeros((len(scenes), across * down, 2), np.float32)
    for i, (scene, grey) in enumerate(zip(scenes, greys, strict=True)):
        for thing in scene.things:
            what = (
                -1 if grey else tuple(COLORS).index(thing.color),
                SHAPE_NAMES.index(thing.shape),
                tuple(SIZES).index(thing.size),
            )
            near = thing.radius + EDGE_PX
            patches[i, (abs(x - thing.x) < near) & (abs(y - thing.y) < near)] = what
            column, row = int(thing.x // 28), int(thing.y // 28)
            tokens[i, row * across + column] = what
            offsets[i, row * across + column] = (
                (thing.x - column * 28) / 14 - 1,
                (thing.y - row * 28) / 14 - 1,
            )
    return (
        torch.from_numpy(patches).view(-1, 3),
        torch.from_numpy(tokens).view(-1, 3),
        torch.from_numpy(offsets).view(-1, 2),
    )


def _patch_centres(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches' centres in px, in the order of the processor: 2 x 2 blocks together."""
    y, x = np.meshgrid(np.arange(height // 14), np.arange(width // 14), indexing="ij")

    def ordered(places: np.ndarray) -> np.ndarray:
        blocks = places.reshape(height // 28, 2, width // 28, 2).transpose(0, 2, 1, 3)
        return blocks.reshape(-1) * 14 + 7.0

    return ordered(x), ordered(y)


def label_loss(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    """Return the loss and the shares of right answers: there, colour, shape, size."""
    there = labels[:, SHAPE] >= 0
    loss = F.binary_cross_entropy_with_logits(outputs[:, 0], there.float())
    right = [((outputs[:, 0] > 0) == there).float().mean().item()]
    start = 1
    for column, (classes, weight) in enumerate(
        ((len(COLORS), 0.5), (len(SHAPE_NAMES), 1.0), (len(SIZES), 0.5))
    ):
        logits, truth = outputs[there, start : start + classes], labels[there, column]
        loss = loss + weight * F.cross_entropy(logits, truth, ignore_index=-1)
        known = truth >= 0
        right.append((logits.argmax(1) == truth)[known].float().mean().item())
        start += classes
    return loss, right
