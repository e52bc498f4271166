"""`savs extract` on an emulated accelerator: all is real but the model, which sleeps."""

import os
import resource
import shutil
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from extraction_bench.cases import PIXELS, SLEEP_S, Case

LAYERS, HEADS, WIDTH = 28, 28, 128
"""Of Qwen2-VL-7B."""


def emulate(case: Case, work: Path) -> dict[str, Any]:
    """Run a case; return rows, seconds at the steady rate, seconds of all, memory and CPU."""
    from savs.datasets import MediaFolder
    from savs.pipeline.extraction import model_run
    from savs.pipeline.extraction.checks.token_budget import MOST_TOKENS

    read = MediaFolder.read
    if case.cold_s:

        def slow(self: MediaFolder, name: str) -> bytes:
            time.sleep(case.cold_s)
            return read(self, name)

        MediaFolder.read = slow
    model_run.load = _load_emulated
    begun = time.perf_counter()
    cores = len(os.sched_getaffinity(0))
    done = run_extract(case, work, workers=cores, check="off", tokens=MOST_TOKENS)  # as with a GPU
    whole = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {
        "rows": done.rows,
        "seconds": STEADY.seconds(),
        "whole": whole,
        "peak": peak,
    }


def run_extract(
    case: Case,
    work: Path,
    *,
    workers: int | None = None,
    check: str = "strict",
    tokens: int | None = None,
) -> Any:
    """Extract the photos of a case."""
    from savs import extract

    folder = case.folder(work)
    shutil.rmtree(work / "store", ignore_errors=True)
    return extract(
        "general",
        train=folder / "train.jsonl",
        test=folder / "test.jsonl",
        model="demo",
        out=work / "store",
        max_pixels=PIXELS,
        limit=case.rows,
        shard_rows=case.shard_rows,
        jpeg_draft=case.draft,
        workers=workers,
        batch_check=check,
        batch_tokens=tokens,
    )


class Steady:
    """The rate once workers have started: from a tenth of the rows on."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, int]] = []

    def seconds(self) -> float:
        """Return the time that all rows would take at the rate after the start."""
        done = list(accumulate(count for _, count in self.passes))
        first = next(place for place, count in enumerate(done) if count >= done[-1] / 10)
        share = (done[-1] - done[first]) / done[-1]
        return (self.passes[-1][0] - self.passes[first][0]) / share


STEADY = Steady()


def _load_emulated(options: Any, encoder: Any, placement: Any) -> Any:
    import torch
    from transformers import PretrainedConfig

    from savs.pipeline.extraction.model.attention_hooks import HookPoint
    from savs.pipeline.extraction.model.loaded_model import LoadedModel
    from savs.stores import LayerGrid

    class Accelerator(torch.nn.Module):
        """Sleeps as long as a GPU computes, and gives values to every hook."""

        device, dtype = torch.device("cpu"), torch.bfloat16

        def __init__(self) -> None:
            super().__init__()
            self.config = PretrainedConfig()
            self.config._attn_implementation = "none"
            self.layers = torch.nn.ModuleList([torch.nn.Identity() for _ in range(LAYERS)])
            values = torch.randn(1, 1, HEADS * WIDTH, dtype=torch.bfloat16)
            self.values = values.expand(256, -1, -1)  # a batch gives what single examples give

        def get_decoder(self) -> torch.nn.Module:
            return self

        def forward(self, **inputs: Any) -> None:
            rows = len(inputs["input_ids"])
            time.sleep(SLEEP_S * rows)
            STEADY.passes.append((time.perf_counter(), rows))
            for layer in self.layers:
                layer(self.values[:rows])

    class Loaded(LoadedModel):
        """Moves nothing and normalises nothing: the accelerator would."""

        def placed(self, inputs: Any, scale: Any = None) -> Any:
            return inputs

    model = Accelerator()
    points = tuple(
        HookPoint(LayerGrid(n, tuple(range(HEADS)), WIDTH), layer)
        for n, layer in enumerate(model.layers)
    )
    return Loaded(model, encoder, points)
