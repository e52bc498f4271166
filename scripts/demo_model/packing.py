"""Several questions about the same images in one sequence, each blind to the others.

The images and what stands before them are the shared prefix. Behind it come blocks of questions
with their answers; a question sees the prefix and itself, its positions continue the prefix's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from demo_model.forward import Grid

BLOCK_TOKENS = 40
"""The longest question, odd-one-out, takes 39 with its answer."""
OPENING = "<|im_start|>user\n"
CLOSING = "<|im_end|>\n<|im_start|>assistant\n"
HIDDEN = -1e4
"""Added to the score of a position that must not be seen."""
LONG_ANSWER_WEIGHT = 0.35
END_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its answer."""

    name: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch of packed sequences."""

    ids: torch.Tensor
    """`(rows, n)`."""
    positions: torch.Tensor
    """`(3, rows, n)`."""
    mask: torch.Tensor
    """`(rows, 1, n, n)`, added to attention scores."""
    image_places: torch.Tensor
    """`(images * tokens,)` places of the image tokens, the same in each row."""
    rows: torch.Tensor
    """Row of each answer token's predecessor."""
    places: torch.Tensor
    """Place of each answer token's predecessor."""
    targets: torch.Tensor
    weights: torch.Tensor
    first: list[tuple[int, str]]
    """`(number among the targets, question's name)` of each answer's first token."""


class Packer:
    """Packs questions about a number of images of one grid."""

    def __init__(self, tokenizer: Any, images: int, grid: Grid) -> None:
        self._tokenizer = tokenizer
        down, across = grid[0] // 2, grid[1] // 2
        start, end, pad = tokenizer.convert_tokens_to_ids(
            ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
        )
        ids = tokenizer.encode(OPENING, add_special_tokens=False)
        positions = [[i] * 3 for i in range(len(ids))]
        places, now = [], len(ids)
        for _ in range(images):
            ids.append(start)
            positions.append([now] * 3)
            now += 1
            places += range(len(ids), len(ids) + down * across)
            ids += [pad] * (down * across)
            positions += [[now, now + y, now + x] for y in range(down) for x in range(across)]
            now += max(down, across)
            ids.append(end)
            positions.append([now] * 3)
            now += 1
        self._prefix, self._positions, self._next = np.array(ids), np.array(positions).T, now
        self._places = torch.tensor(places)
        self._end = tokenizer.eos_token_id

    @lru_cache(maxsize=50_000)  # noqa: B019 - packers live as long as the training
    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def length(self, question: Question) -> int:
        """Return the tokens that a question takes with its answer."""
        return len(self._encode(question.text + CLOSING)) + len(self._encode(question.answer))

    def pack(self, rows: Sequence[Sequence[Sequence[Question]]]) -> Packed:
        """Pack row by row, block by block; every row has the same number of blocks."""
        shared, blocks = len(self._prefix), len(rows[0])
        n = shared + blocks * BLOCK_TOKENS
        ids = np.zeros((len(rows), n), np.int64)
        positions = np.zeros((3, len(rows), n), np.int64)
        owner = np.full((len(rows), n), -1)
        owner[:, :shared] = 0
        ids[:, :shared], positions[:, :, :shared] = self._prefix, self._positions[:, None]
        targets: list[tuple[int, int, int, float]] = []
        first = []
        for row, filled in enumerate(rows):
            number = 0
            for block, questions in enumerate(filled):
                at = shared + block * BLOCK_TOKENS
                for question in questions:
                    number += 1
                    question_ids = self._encode(question.text + CLOSING)
                    answer = self._encode(question.answer)
                    both = [*question_ids, *answer]
                    ids[row, at : at + len(both)] = both
                    positions[:, row, at : at + len(both)] = self._next + np.arange(len(both))
                    owner[row, at : at + len(both)] = number
                    before = at + len(question_ids) - 1
                    first.append((len(targets), question.name))
                    weight = LONG_ANSWER_WEIGHT if len(answer) > 2 else 1.0
                    targets += [(row, before + i, t, weight) for i, t in enumerate(answer)]
                    targets.append((row, before + len(answer), self._end, END_WEIGHT))
                    at += len(both)
        row_of, place, target, weight = zip(*targets, strict=True)
        return Packed(
            torch.from_numpy(ids),
            torch.from_numpy(positions),
            _mask(torch.from_numpy(owner)),
            self._places,
            torch.tensor(row_of),
            torch.tensor(place),
            torch.tensor(target),
            torch.tensor(weight),
            first,
        )


def _mask(owner: torch.Tensor) -> torch.Tensor:
    """Return what hides later positions and other questions; the prefix, 0, is seen by all."""
    n = owner.shape[1]
    same = owner[:, :, None] == owner[:, None, :]
    seen = (same | (owner == 0)[:, None, :]) & torch.ones(n, n, dtype=torch.bool).tril()
    return torch.zeros(seen.shape).masked_fill_(~seen, HIDDEN)[:, None]
