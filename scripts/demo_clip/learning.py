"""Images and captions learn to agree: a sigmoid of their cosine says whether a caption is true.

Source of the loss: Zhai et al., SigLIP, arXiv 2303.15343; here every pair's truth is known. Linear
heads on the patches, thrown away afterwards, name what lies there: without them shapes are not
learnt.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from demo_model.ahead import one_ahead
from demo_model.curriculum import PART
from demo_model.optimisers import Training, mean
from demo_model.vision_stage import EDGE_PX, LABELS, label_loss
from torch import nn

from demo_clip.architecture import IMAGE_PX, PATCH_PX
from demo_clip.captions import about, names, truths
from savs.datasets.benchmarks.shapes.scenes import (
    CANVASES,
    COLORS,
    SHAPE_NAMES,
    SIZES,
    Scene,
    draw,
    random_scene,
)

RATES = (2e-3, 4e-3)
IMAGES = 64
PATCH_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes, captions, and what is true."""

    pixels: torch.Tensor
    """`(images, 3, side, side)`."""
    patches: torch.Tensor
    """`(images * patches, 3)` colour, shape and size on each patch; -1 where nothing is."""
    texts: dict[str, torch.Tensor]
    truth: torch.Tensor
    """`(images, captions)`: 1, 0, or NaN where that is unclear."""


class Learner(nn.Module):
    """The model with what only its training needs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.patch = nn.Linear(model.config.vision_config.hidden_size, LABELS)
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `(images, captions)` logits and `(images * patches, labels)` logits."""
        seen = self.model.vision_model(batch.pixels.to(self.patch.weight.dtype))
        images = self.model.visual_projection(seen.pooler_output).float()
        texts = self.model.get_text_features(**batch.texts).pooler_output.float()
        cosines = F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
        logits = self.model.logit_scale.float().exp() * cosines + self.bias.float()
        return logits, self.patch(seen.last_hidden_state[:, 1:]).float().flatten(0, 1)


def train(
    model: Any, processor: Any, steps: int, seed: int, log: Callable[[dict[str, Any]], None]
) -> None:
    """Train a model in place."""
    torch.manual_seed(seed)
    training = Training(Learner(model), RATES, steps)
    rng = random.Random(f"savs training clip {seed}")
    scores: list[list[float]] = []
    for step, batch in enumerate(one_ahead(_batch(rng, processor) for _ in range(steps)), start=1):
        training.refresh()
        logits, on_patch = training.worker(batch)
        patch_loss, right = label_loss(on_patch, batch.patches)
        loss = training.learn(_agreement(logits, batch.truth) + PATCH_WEIGHT * patch_loss)
        scores.append([loss, right[2], *_right(logits, batch.truth)])
        if step % 50 == 0 or step == steps:
            means = [round(mean(f[i] for f in scores), 3) for i in range(4)]
            log(
                {"step": step}
                | dict(zip(("loss", "patch_shape", "true", "false"), means, strict=True))
            )
            scores.clear()


def _agreement(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the loss: true and false pairs weigh the same, unclear ones nothing."""
    losses = F.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return losses[truth == 1].mean() + losses[truth == 0].mean()


def _right(logits: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Return the shares of true and of false pairs that are told right."""
    is_true = logits > 0
    return [(is_true == bool(value))[truth == value].float().mean().item() for value in (1, 0)]


def _batch(rng: random.Random, processor: Any) -> Batch:
    scenes = [
        random_scene(
            rng, canvas=CANVASES[0] if rng.random() < 0.6 else rng.choice(CANVASES[1:]), part=PART
        )
        for _ in range(IMAGES)
    ]
    captions = names(rng) + [caption for scene in scenes for caption in about(rng, scene)]
    images = [draw(scene) for scene in scenes]
    texts = [caption.text for caption in captions]
    return Batch(
        processor.image_processor(images=images, return_tensors="pt")["pixel_values"],
        torch.from_numpy(_on_patches(scenes)).flatten(0, 1),
        dict(processor.tokenizer(texts, padding=True, return_tensors="pt")),
        torch.tensor(truths(captions, scenes)),
    )


def _on_patches(scenes: Sequence[Scene]) -> np.ndarray:
    """Return `(images, patches, 3)` numbers of colour, shape and size; -1 where nothing is."""
    centres = np.arange(IMAGE_PX // PATCH_PX) * PATCH_PX + PATCH_PX / 2
    y, x = (axis.ravel() for axis in np.meshgrid(centres, centres, indexing="ij"))
    numbers = np.full((len(scenes), x.size, 3), -1)
    for of_scene, scene in zip(numbers, scenes, strict=True):
        across, down = (IMAGE_PX / side for side in scene.canvas)
        for thing in scene.things:
            near = (abs(x - thing.x * across) < thing.radius * across + EDGE_PX) & (
                abs(y - thing.y * down) < thing.radius * down + EDGE_PX
            )
            of_scene[near] = (
                tuple(COLORS).index(thing.color),
                SHAPE_NAMES.index(thing.shape),
                tuple(SIZES).index(thing.size),
            )
    return numbers
