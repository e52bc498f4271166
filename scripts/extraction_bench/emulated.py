"""`savs extract` on an emulated accelerator: all is real but the model, which takes time alone.

As a GPU does, it goes on with what it was given while the program does other work, and begins a
pass when the one before has ended.
"""

import os
import resource
import shutil
import time
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from extraction_bench.cases import EXAMPLE_S, PIXELS, Case

LAYERS, HEADS, WIDTH = 28, 28, 128
"""Of Qwen2-VL-7B."""


def emulate(case: Case, work: Path) -> dict[str, Any]:
    """Run a case; return rows, seconds at the steady rate, seconds of all, memory and CPU."""
    from savs.datasets import MediaFolder
    from savs.pipeline.extraction import model_run
    from savs.pipeline.extraction.checks.decisions import MOST_TOKENS

    read = MediaFolder.read
    if case.cold_s:

        def slow(self: MediaFolder, name: str) -> bytes:
            time.sleep(case.cold_s)
            return read(self, name)

        MediaFolder.read = slow
    model_run.load = cast("Any", _load_emulated)
    begun = time.perf_counter()
    cores = len(os.sched_getaffinity(0))
    done = run_extract(case, work, workers=cores, check="off", tokens=MOST_TOKENS)  # as with a GPU
    whole = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {
        "rows": done.rows,
        "seconds": STEADY.seconds(),
        "thread": STEADY.thread_seconds(),
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
        model=str(case.model(work)),
        out=work / "store",
        max_pixels=PIXELS,
        limit=case.rows,
        shard_rows=case.shard_rows,
        jpeg_draft=case.draft,
        site=case.site,
        workers=workers,
        batch_check=check,
        batch_tokens=tokens,
    )


class Steady:
    """The rate once workers have started: from a tenth of the rows on."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, float, int]] = []
        """When each pass ends, processor seconds of its thread until it began, and its rows."""

    def note(self, end: float, rows: int) -> None:
        """Take note of a pass that was given now, and when it ends."""
        self.passes.append((end, time.thread_time(), rows))

    def seconds(self) -> float:
        """Return the time that all rows would take at the rate after the start."""
        return self._at_the_rate(0)

    def thread_seconds(self) -> float:
        """Return the same of the processor time of the thread that runs the model."""
        return self._at_the_rate(1)

    def _at_the_rate(self, clock: int) -> float:
        done = list(accumulate(rows for *_, rows in self.passes))
        first = next(place for place, count in enumerate(done) if count >= done[-1] / 10)
        share = (done[-1] - done[first]) / done[-1]
        return (self.passes[-1][clock] - self.passes[first][clock]) / share


STEADY = Steady()


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the values of a pass are there, as an event of a GPU says it."""

    at: float

    def synchronize(self) -> None:
        """Wait for it."""
        time.sleep(max(0.0, self.at - time.perf_counter()))


def _load_emulated(options: Any, encoder: Any, placement: Any, last_layer: None = None) -> Any:
    import torch
    from transformers import PretrainedConfig

    from savs.pipeline.extraction.model.hook_points import find_hook_points
    from savs.pipeline.extraction.model.loaded_model import LoadedModel
    from savs.pipeline.extraction.model.reading import Launched

    class Part(torch.nn.Module):
        """Gives what it gets: an output projection, an MLP or the final norm."""

        in_features, num_heads = HEADS * WIDTH, HEADS

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(HEADS * WIDTH, dtype=torch.bfloat16))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    class Layer(Part):
        """A decoder layer with the parts that sites are read from."""

        def __init__(self) -> None:
            super().__init__()
            self.self_attn, self.mlp = Part(), Part()
            self.self_attn.o_proj = Part()

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.mlp(self.self_attn.get_submodule("o_proj")(values))

    class Accelerator(torch.nn.Module):
        """Is busy as long as a GPU computes, and gives values to every hook."""

        device, dtype = torch.device("cpu"), torch.bfloat16

        def __init__(self) -> None:
            super().__init__()
            self.free_at = 0.0
            self.config = PretrainedConfig()
            self.config._attn_implementation = "none"
            self.config.hidden_size = HEADS * WIDTH
            self.layers = torch.nn.ModuleList([Layer() for _ in range(LAYERS)])
            self.norm = Part()
            values = torch.randn(1, 1, HEADS * WIDTH, dtype=torch.bfloat16)
            self.values = values.expand(256, -1, -1)  # a batch gives what single examples give

        def get_decoder(self) -> torch.nn.Module:
            return self

        def forward(self, **inputs: Any) -> None:
            rows = len(inputs["input_ids"])
            self.free_at = max(self.free_at, time.perf_counter()) + EXAMPLE_S * rows
            STEADY.note(self.free_at, rows)
            for layer in self.layers:
                layer(self.values[:rows])
            self.norm(self.values[:rows])

    class Loaded(LoadedModel):
        """Moves nothing and normalises nothing: the accelerator would. Its values arrive late."""

        def placed(self, inputs: Any, scale: Any = None) -> Any:
            return inputs

        def run(self, *args: Any, **kwargs: Any) -> Launched:
            arrived: Any = [Arrival(self.model.free_at)]
            return replace(super().run(*args, **kwargs), arrived=arrived)

    model = Accelerator()
    return Loaded(model, encoder, find_hook_points(model))
