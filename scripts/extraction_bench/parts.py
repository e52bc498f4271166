"""The parts of an extraction by themselves, and the loop of the method's public code."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from extraction_bench.cases import CASES, PIXELS, SIZES, Case
from extraction_bench.emulated import run_extract


def prepare_alone(case: Case, work: Path) -> dict[str, Any]:
    """Return the CPU time that one example takes, read and hashed, decoded and encoded."""
    import torch

    torch.set_num_threads(1)
    from savs.pipeline.extraction.line.prepare import prepare
    from savs.pipeline.extraction.line.workers import keep_freed_memory

    keep_freed_memory()  # as workers do
    encoder, settings, jobs = _jobs(case, work, rows=min(case.rows, 96))
    prepare(encoder, jobs[0], settings)
    begun = time.process_time()
    for job in _jobs(case, work, rows=min(case.rows, 96))[2]:
        prepare(encoder, job, settings)
    rows = sum(len(job.requests) for job in jobs)
    return {"seconds": (time.process_time() - begun) / rows}


@cache
def _encoder(model: str) -> Any:
    from savs.pipeline.extraction.model.load import load_encoder
    from savs.pipeline.extraction.model.model_options import ModelOptions

    return load_encoder(ModelOptions(model=model, max_pixels=PIXELS))


def _jobs(case: Case, work: Path, rows: int) -> tuple[Any, Any, list[Any]]:
    """Return an encoder, how it prepares, and the jobs of some test rows."""
    import torch

    from savs.datasets import MediaFolder, find_benchmark, read_examples
    from savs.datasets.media.media import MediaRules
    from savs.pipeline.extraction.line.assembly import Assembly
    from savs.pipeline.extraction.line.feed import Planner
    from savs.pipeline.extraction.line.jobs import BatchLimits, TokenCounter
    from savs.pipeline.extraction.line.pass_settings import PassSettings
    from savs.pipeline.extraction.model.answers import NO_ANSWERS
    from savs.stores import ShardSpec

    folder = case.folder(work)
    encoder = _encoder(str(case.model(work)))
    examples = read_examples(find_benchmark("general"), folder / "test.jsonl", "test", rows)
    spec = ShardSpec("test", 0, 0, rows, "")
    assembly = Assembly(spec, examples, (), "bfloat16", answers=NO_ANSWERS, thumbnails=False)
    settings = PassSettings(
        rules=MediaRules(draft_pixels=case.draft),
        dtype=torch.bfloat16,
        limits=BatchLimits(32, 4096),
        raw_pixels=True,
    )
    planner = Planner(TokenCounter(encoder), settings)
    media = MediaFolder(folder)
    windows = planner.plan(assembly, lambda _: media)
    return encoder, settings, [job for window in windows for job in window.jobs]


def compare_real(work: Path) -> dict[str, Any]:
    """Time an extraction with the demo model, its parts, and the public code's loop."""
    import torch

    from savs.pipeline.extraction.entry_points import load_model
    from savs.pipeline.extraction.line.jobs import Prepared
    from savs.pipeline.extraction.line.prepare import prepare
    from savs.pipeline.extraction.model.pixel_scale import find_scale

    case = replace(CASES[0], rows=1000)
    done = run_extract(case, work)
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
    folder = case.folder(work)
    states: dict[int, Any] = {}
    handles = [
        point.module.register_forward_pre_hook(
            lambda module, inputs, layer=point.grid.layer: states.update({layer: inputs[0]})
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
            heads = torch.stack([states[layer][:, -1].float().cpu() for layer in sorted(states)])
            assert torch.isfinite(heads).all()
            yield time.perf_counter() - begun
    for handle in handles:
        handle.remove()
