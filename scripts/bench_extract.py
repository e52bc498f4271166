"""Measure how busy `savs extract` keeps an accelerator, on this machine's cores.

    python scripts/bench_extract.py --work build/bench-extract

The accelerator is emulated: a model of the heads of Qwen2-VL-7B that sleeps 10 ms an example, which
takes nothing of the cores. Everything else is real: files, decoding, processor, transfer between
processes, shards on the disk. Each case runs in a process of its own; its figures are ratios of
times of that process. The demo model is the real one that is compared with its bare forward and
with the loop of the method's public code: one example at a time, hooks on every layer, a cache, all
logits, three passes over the training examples.
"""

import argparse
import dataclasses
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LAYERS, HEADS, WIDTH = 28, 28, 128
SLEEP_S = 0.010
PIXELS = 448 * 448
"""Limit of the processor: 256 visual tokens."""
SIZES = {"448": (448, 448), "HD": (1920, 1080), "12MP": (4032, 3024), "224": (224, 224)}


@dataclass(frozen=True, slots=True)
class Case:
    """One run of `savs extract` on the emulated accelerator."""

    name: str
    sizes: tuple[str, ...]
    """Sizes of the photos, in turn."""
    rows: int
    shard_rows: int = 256
    cold_s: float = 0.0
    """Time that reading a file takes longer."""
    draft: int | None = None


CASES = (
    Case("448 x 448", ("448",), 3000),
    Case("448 x 448, shards of 64 rows", ("448",), 3000, shard_rows=64),
    Case("448 x 448, 5 ms a read", ("448",), 3000, cold_s=0.005),
    Case("half 224 x 224, half HD", ("224", "HD"), 1500),
    Case("HD", ("HD",), 1000),
    Case("12 MP", ("12MP",), 360),
    Case("12 MP, --jpeg-draft", ("12MP",), 600, draft=2 * PIXELS),
)


def main() -> None:
    """Run all cases and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    parser.add_argument("--long", action="store_true", help="memory over 5,000 rows, too")
    parser.add_argument("--only", help="cases whose name begins so")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(json.loads(options.child), options.work)))
        return
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores\n")
    print("| photos | busy | the cores can | of that | examples/s | whole process |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        if case.name.startswith(options.only or ""):
            _report(case, options.work, cores)
    if not options.only:
        _real(options.work, cores)
    if options.long:
        _memory(options.work)


def _report(case: Case, work: Path, cores: int) -> None:
    _photos(case, work)
    found = _run({"case": dataclasses.asdict(case)}, work)
    alone = _run({"prepare": dataclasses.asdict(case)}, work)
    able = min(cores / alone["seconds"], 1 / SLEEP_S)
    rate = found["rows"] / found["seconds"]
    print(
        f"| {case.name} | {rate * SLEEP_S:.0%} | {able * SLEEP_S:.0%} | {rate / able:.0%} |"
        f" {rate:.1f} | {found['rows'] / found['whole']:.1f}/s, {found['peak']:.0f} MB |",
        flush=True,
    )


def _memory(work: Path) -> None:
    case = Case("448 x 448", ("448",), 5000)
    _photos(case, work)
    peaks = [
        _run({"case": dataclasses.asdict(dataclasses.replace(case, rows=rows))}, work)["peak"]
        for rows in (1000, 5000)
    ]
    print(f"\npeak memory: {peaks[0]:.0f} MB over 1,000 rows, {peaks[1]:.0f} MB over 5,000")


def _real(work: Path, cores: int) -> None:
    found = _run({"real": True}, work)
    shared = (found["forward_cpu"] + found["prepare_cpu"]) / cores
    print(
        f"\ndemo model, {found['rows']} rows: {found['engine'] / shared:.2f} x (forward +"
        f" preparation) / cores; {found['engine'] / found['forward']:.2f} x the bare forward of the"
        f" same batches; {found['reference'] / found['engine']:.1f} x as fast as the public loop"
    )


def _run(order: dict[str, Any], work: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--work", str(work), "--child", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def _photos(case: Case, work: Path) -> None:
    """Write photos, each a file of its own content, and the rows that name them."""
    folder = work / case.name.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    bodies = {size: [_photo(SIZES[size], seed) for seed in range(6)] for size in case.sizes}
    for split, count in (("train", 40), ("test", case.rows)):
        with (folder / f"{split}.jsonl").open("w") as lines:
            for row in range(count):
                body = bodies[case.sizes[row % len(case.sizes)]][row % 6]
                name = f"{split}-{row}.jpg"
                (folder / name).write_bytes(body + str(row**3).encode())  # decoders stop before it
                what = {"image": name, "question": f"What is in photo {row}?"}
                lines.write(json.dumps(what | {"label": "ab"[row % 2]}) + "\n")


def _photo(size: tuple[int, int], seed: int) -> bytes:
    """Return a JPEG with about the detail of a photo."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (size[1] // 24, size[0] // 24, 3), np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    noisy = image + rng.integers(-12, 12, image.shape, np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def _child(order: dict[str, Any], work: Path) -> dict[str, Any]:
    if "real" in order:
        return _compare_real(work)
    if "prepare" in order:
        return _prepare_alone(Case(**order["prepare"]), work)
    return _emulate(Case(**order["case"]), work)


def _emulate(case: Case, work: Path) -> dict[str, Any]:
    from savs.datasets import MediaFolder
    from savs.pipeline.extraction import run_extraction

    read = MediaFolder.read
    if case.cold_s:

        def slow(self: MediaFolder, name: str) -> bytes:
            time.sleep(case.cold_s)
            return read(self, name)

        MediaFolder.read = slow
    run_extraction.load = _load_emulated
    begun = time.perf_counter()
    done = _extract(case, work, len(os.sched_getaffinity(0)))  # as with a GPU
    whole = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {
        "rows": done.rows,
        "seconds": STEADY.seconds(),
        "whole": whole,
        "peak": peak,
        "cpu": (STEADY.cpu[-1] - STEADY.cpu[0]) / done.rows,
    }


def _extract(case: Case, work: Path, workers: int | None = None) -> Any:
    from savs.pipeline import extract

    folder = work / case.name.replace(" ", "-")
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
    )


class Steady:
    """The rate once workers have started: from a tenth of the rows on."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, int]] = []
        self.cpu: list[float] = []

    def seconds(self) -> float:
        """Return the time that all rows would take at the rate after the start."""
        done = list(accumulate(count for _, count in self.passes))
        first = next(place for place, count in enumerate(done) if count >= done[-1] / 10)
        share = (done[-1] - done[first]) / done[-1]
        return (self.passes[-1][0] - self.passes[first][0]) / share


STEADY = Steady()


def _load_emulated(options: Any, encoder: Any) -> Any:
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

        def forward(self, **inputs: Any) -> None:
            rows = len(inputs["input_ids"])
            time.sleep(SLEEP_S * rows)
            STEADY.passes.append((time.perf_counter(), rows))
            STEADY.cpu.append(time.process_time())
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


def _prepare_alone(case: Case, work: Path) -> dict[str, Any]:
    """Return the CPU time that one example takes, read and hashed, decoded and encoded."""
    import torch

    torch.set_num_threads(1)
    from savs.pipeline.extraction.batches.prepare import prepare

    encoder, settings, jobs = _jobs(case, work, rows=min(case.rows, 96))
    prepare(encoder, jobs[0], settings)
    begun = time.process_time()
    for job in _jobs(case, work, rows=min(case.rows, 96))[2]:
        prepare(encoder, job, settings)
    rows = sum(len(job.requests) for job in jobs)
    return {"seconds": (time.process_time() - begun) / rows}


@cache
def _encoder() -> Any:
    from savs.pipeline.extraction.model.model_options import ModelOptions
    from savs.pipeline.extraction.model.prompt_encoder import load_encoder

    return load_encoder(ModelOptions(model="demo", max_pixels=PIXELS))


def _jobs(case: Case, work: Path, rows: int) -> tuple[Any, Any, list[Any]]:
    """Return an encoder, how it prepares, and the jobs of some test rows."""
    import torch

    from savs.datasets import MediaFolder, find_benchmark, read_examples
    from savs.datasets.media.media import MediaRules
    from savs.pipeline.extraction.batches.assembly import Assembly
    from savs.pipeline.extraction.batches.feed import Planner
    from savs.pipeline.extraction.batches.plan import BatchLimits
    from savs.pipeline.extraction.batches.prepare import PrepareSettings
    from savs.pipeline.extraction.batches.token_counts import TokenCounter
    from savs.stores import ShardSpec

    folder = work / case.name.replace(" ", "-")
    encoder = _encoder()
    examples = read_examples(find_benchmark("general"), folder / "test.jsonl", "test")[:rows]
    spec = ShardSpec("test", 0, 0, rows, "")
    assembly = Assembly(spec, examples, (), "bfloat16", answers=0, thumbnails=False)
    planner = Planner(TokenCounter(encoder), BatchLimits(32, 4096))
    windows = planner.plan(assembly, MediaFolder(folder))
    rules = MediaRules(draft_pixels=case.draft)
    settings = PrepareSettings(rules, torch.bfloat16, raw_pixels=True, thumbnails=False)
    return encoder, settings, [job for window in windows for job in window.jobs]


def _compare_real(work: Path) -> dict[str, Any]:
    """Time an extraction with the demo model, its parts, and the public code's loop."""
    import torch

    from savs.pipeline import load_model
    from savs.pipeline.extraction.batches.jobs import Prepared
    from savs.pipeline.extraction.batches.prepare import prepare
    from savs.pipeline.extraction.model.pixel_scale import find_scale

    case = dataclasses.replace(CASES[0], rows=1000)
    done = _extract(case, work)
    encoder, settings, jobs = _jobs(case, work, rows=case.rows)
    model = load_model("demo", max_pixels=PIXELS)
    image = Image.new("RGB", SIZES["448"])
    scale = find_scale(encoder, [(image, "What is it?")])
    begun = time.process_time()
    parts = [part for job in jobs for part in prepare(encoder, job, settings).parts]
    prepare_cpu = time.process_time() - begun
    begun, cpu = time.perf_counter(), time.process_time()
    for batch in (part for part in parts if isinstance(part, Prepared)):
        model.launch(batch.inputs, scale=scale).result()
    forward, forward_cpu = time.perf_counter() - begun, time.process_time() - cpu
    reference = sum(_public_loop(model, case, work, torch))
    return {
        "rows": done.rows,
        "engine": done.seconds,
        "forward": forward,
        "forward_cpu": forward_cpu,
        "prepare_cpu": prepare_cpu,
        "reference": reference,
    }


def _public_loop(model: Any, case: Case, work: Path, torch: Any) -> Iterator[float]:
    """Yield the seconds of each pass as the public code runs it: 3 N + M of one example each."""
    folder = work / case.name.replace(" ", "-")
    kept: dict[int, Any] = {}
    handles = [
        point.projection.register_forward_pre_hook(
            lambda module, given, layer=point.grid.layer: kept.update({layer: given[0]})
        )
        for point in model.hook_points
    ]
    passes = [("train", 3), ("test", 1)]
    for split, times in passes:
        rows = [json.loads(line) for line in (folder / f"{split}.jsonl").open()][: case.rows]
        for row in rows * times:
            begun = time.perf_counter()
            image = Image.open(folder / row["image"]).convert("RGB")
            inputs = model.placed(model.inputs([(image, row["question"])]))
            with torch.inference_mode():
                model.model(**inputs, use_cache=True)
            heads = torch.stack([kept[layer][:, -1].float().cpu() for layer in sorted(kept)])
            assert torch.isfinite(heads).all()
            yield time.perf_counter() - begun
    for handle in handles:
        handle.remove()


if __name__ == "__main__":
    main()
