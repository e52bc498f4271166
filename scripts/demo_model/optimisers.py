"""Muon for the layers' matrices, AdamW for the rest, on float32 copies of bfloat16 weights."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

WARM_UP_STEPS = 80
FLOOR = 0.02
"""Share of the rate that is left at the end."""


class Training:
    """A module that computes in bfloat16 while its float32 copy learns.

    Parameters
    ----------
    master
        The float32 module; it holds the result.
    rates
        Base rates of AdamW and of Muon.
    steps
        Length of the schedule: warm-up, then a cosine down to `FLOOR`.
    vision_share
        Factor on both rates for the vision tower.
    """

    def __init__(
        self, master: nn.Module, rates: tuple[float, float], steps: int, vision_share: float = 1.0
    ) -> None:
        self.master = master
        self.worker = copy.deepcopy(master).to(torch.bfloat16)
        if hasattr(self.worker, "tie_weights"):
            self.worker.tie_weights()  # type: ignore[operator]
        self._masters, self._workers = list(master.parameters()), list(self.worker.parameters())
        self._steps, self._step = steps, 0
        plain, matrices = [], []
        for name, weight in master.named_parameters():
            share = vision_share if "visual" in name else 1.0
            matrix = weight.ndim == 2 and any(
                p in name for p in ("layers.", "blocks.", "merger.mlp")
            )
            rate = rates[1] if matrix else rates[0]
            decay = 0.05 if weight.ndim > 1 else 0.0
            group = {"params": [weight], "lr": rate * share, "weight_decay": decay}
            (matrices if matrix else plain).append(group)
        self._optimisers: list[Any] = [
            torch.optim.AdamW(plain, betas=(0.9, 0.98), fused=True),
            torch.optim.Muon(matrices, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        ]
        self._rates = [[g["lr"] for g in o.param_groups] for o in self._optimisers]

    def refresh(self) -> None:
        """Copy the learnt weights into the module that computes."""
        with torch.no_grad():
            for worker, master in zip(self._workers, self._masters, strict=True):
                worker.copy_(master)

    def learn(self, loss: torch.Tensor) -> float:
        """Take one step down the gradient of the loss; return the loss."""
        for weight in self._workers:
            weight.grad = None
        loss.backward()
        for master, worker in zip(self._masters, self._workers, strict=True):
            master.grad = None if worker.grad is None else worker.grad.float()
        nn.utils.clip_grad_norm_(self._masters, 1.0)
        scale = _schedule(self._step, self._steps)
        for optimiser, rates in zip(self._optimisers, self._rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            optimiser.step()
        self._step += 1
        return loss.item()


def _schedule(step: int, steps: int) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (cosine * (1 - FLOOR) + FLOOR)


def mean(values: Iterable[float]) -> float:
    """Return the mean, not a number for no values."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan
