"""Stage 2: teach the whole model to answer, by the curriculum.

Beside the answers, each image token must name its row and column after the first layer: without it,
relations are learnt late or never.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

from demo_model.ahead import one_ahead
from demo_model.curriculum import FAMILIES, GREY, Phase, ask_about, drawn_grey, phase_at
from demo_model.forward import Grid, see, use_batched_attention
from demo_model.optimisers import Training, mean
from demo_model.packing import BLOCK_TOKENS, Packed, Packer, Question
from savs.datasets.benchmarks.shapes.scenes import CANVASES, Canvas, draw

RATES = (1.5e-3, 3e-3)
VISION_SHARE = 0.3
PLACE_WEIGHT = 0.3
MAX_SIDE = 6
"""More rows or columns of image tokens than any canvas has."""


def train_language(
    model: Any, tokenizer: Any, steps: int, seed: int, log: Callable[[dict[str, Any]], None]
) -> None:
    """Train a model in place on questions about drawn scenes."""
    torch.manual_seed(seed + 1)
    places = nn.Linear(model.config.text_config.hidden_size, 2 * MAX_SIDE)
    training = Training(
        nn.ModuleDict({"model": model, "places": places}), RATES, steps, VISION_SHARE
    )
    worker: Any = training.worker
    use_batched_attention(worker["model"])
    rng = random.Random(f"savs training language {seed}")
    right: dict[str, list[float]] = defaultdict(list)

    @lru_cache(maxsize=16)
    def packer(images: int, grid: Grid) -> Packer:
        return Packer(tokenizer, images, grid)

    def batches() -> Iterator[tuple[Grid, torch.Tensor, Packed]]:
        for step in range(steps):
            phase = phase_at(step / steps)
            images = rng.choices(tuple(phase.images), tuple(phase.images.values()))[0]
            canvas = CANVASES[0] if rng.random() < 0.6 else rng.choice(CANVASES[1:])
            grid = (canvas[1] // 14, canvas[0] // 14)
            yield grid, *_batch(rng, phase, images, canvas, packer(images, grid))

    for step, (grid, pixels, packed) in enumerate(one_ahead(batches()), start=1):
        training.refresh()
        hidden, early = answer(worker["model"], pixels, packed, grid)
        logits = worker["model"].lm_head(hidden[packed.rows, packed.places]).float()
        losses = F.cross_entropy(logits, packed.targets, reduction="none")
        loss = (losses * packed.weights).sum() / packed.weights.sum()
        loss = loss + PLACE_WEIGHT * _place_loss(worker["places"], early, packed, grid)
        training.learn(loss)
        guesses = (logits.argmax(1) == packed.targets).tolist()
        for number, name in packed.first:
            right[name].append(guesses[number])
        if step % 100 == 0 or step == steps:
            log(
                {
                    "stage": "language",
                    "step": step,
                    "loss": round(loss.item(), 3),
                    **{name: round(mean(shares), 3) for name, shares in sorted(right.items())},
                }
            )
            right.clear()


def answer(
    model: Any, pixels: torch.Tensor, packed: Packed, grid: Grid
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the last hidden states of packed sequences, and those after the first layer.

    `pixels` is `(rows * images, height, width, 3)` uint8.
    """
    decoder = model.model.language_model
    embedded = decoder.embed_tokens(packed.ids)
    _, tokens = see(model, pixels, grid)
    embedded = embedded.index_copy(
        1, packed.image_places, tokens.reshape(len(packed.ids), -1, tokens.shape[-1])
    )
    early: list[torch.Tensor] = []
    hook = decoder.layers[0].register_forward_hook(lambda _m, _i, out: early.append(out))
    try:
        output = decoder(
            inputs_embeds=embedded,
            attention_mask={"full_attention": packed.mask.to(embedded.dtype)},
            position_ids=packed.positions,
            use_cache=False,
        )
    finally:
        hook.remove()
    first = early[0][0] if isinstance(early[0], tuple) else early[0]
    return output.last_hidden_state, first


def _batch(
    rng: random.Random, phase: Phase, images: int, canvas: Canvas, packer: Packer
) -> tuple[torch.Tensor, Packed]:
    drawn, rows = [], []
    for _ in range(max(4, phase.rows // images)):
        scenes = FAMILIES[images].scenes(rng, canvas, phase.things)
        grey = drawn_grey(rng, scenes)
        weights = GREY if grey else phase.weights[images]
        questions = []
        for name in rng.choices(tuple(weights), tuple(weights.values()), k=phase.blocks * 3):
            items = ask_about(rng, scenes, images, name)[:1]
            questions += [Question(name, item.question, item.label) for item in items]
        rows.append(_fill(questions, phase.blocks, packer))
        pictures = [draw(scene, grey=grey).convert("RGB") for scene in scenes]
        drawn += [np.asarray(picture) for picture in pictures]
    return torch.from_numpy(np.stack(drawn)), packer.pack(rows)


def _fill(questions: list[Question], blocks: int, packer: Packer) -> list[list[Question]]:
    """Put questions into blocks, each where it leaves least room, as long as there is any."""
    room, filled = [BLOCK_TOKENS] * blocks, [[] for _ in range(blocks)]
    texts: set[str] = set()
    for question in questions:
        length = packer.length(question)
        if length > BLOCK_TOKENS:
            raise ValueError(f"{question.name} takes {length} tokens, a block has {BLOCK_TOKENS}")
        open_blocks = [i for i in range(blocks) if room[i] >= length]
        if open_blocks and question.text not in texts:
            best = min(open_blocks, key=lambda i: room[i])
            room[best] -= length
            filled[best].append(question)
            texts.add(question.text)
    return filled


def _place_loss(head: Any, early: torch.Tensor, packed: Packed, grid: Grid) -> torch.Tensor:
    """Return the loss of naming each image token's row and column."""
    down, across = grid[0] // 2, grid[1] // 2
    logits = head(early[:, packed.image_places]).float().flatten(0, 1)
    repeats = len(logits) // (down * across)
    rows = torch.arange(down).repeat_interleave(across).repeat(repeats)
    columns = torch.arange(across).repeat(down).repeat(repeats)
    return F.cross_entropy(logits[:, :MAX_SIDE], rows) + F.cross_entropy(
        logits[:, MAX_SIDE:], columns
    )
