"""How fast a shape runs by each method: one cell of the table at a time."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import IO, Any
from unittest.mock import patch

import torch

from gpu_check.models import work_of
from gpu_check.shapes import SHAPES, Shape
from savs.datasets import MediaFolder, find_benchmark, read_examples
from savs.pipeline.extraction import model_run, run_extraction
from savs.pipeline.extraction.checks.flash import FLASH, refusal, set_flash
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.prompts.media.inputs import Pieces

ONE_BY_ONE, BATCHED = "transformers, one by one", "transformers, batched"
LOOP, RUNS, FLASH_ROW = "savs, sdpa", "savs, sdpa in runs", "savs, FlashAttention"
VLLM = "vLLM, max_tokens=1"
METHODS = (ONE_BY_ONE, BATCHED, LOOP, RUNS, FLASH_ROW, VLLM)
"""Rows of a shape."""
TIMED_S = 5.0
"""A plain loop is timed for as long as `savs extract --dry-run` times the engine."""
QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits")
QUERY += ("--id=0", "--loop-ms=200")


ROWS = 256
"""Prompts that plain loops and vLLM run at most."""
Prompt = Callable[[], Pieces]
"""Decodes the photos of a prompt, which is part of what is timed."""


class NotRunError(Exception):
    """A cell has no figures, for a reason that the page says."""


def measure(
    method: str, shape: Shape, folder: Path, model_path: str, model: LoadedModel | None
) -> dict[str, Any]:
    """Return the figures of a cell.

    Parameters
    ----------
    method
        One of `METHODS`.
    shape
        What runs; its rows are in `folder`.
    model_path
        The checkpoint, or the folder of one without weights.
    model
        It, loaded; vLLM loads its own.

    Raises
    ------
    NotRunError
        The method cannot run here.
    """
    rows = read_examples(find_benchmark("general"), folder / "test.jsonl", "test", ROWS)
    prompts = [partial(pieces_of, example, MediaFolder(folder)) for example in rows]
    if model is not None:
        options = ModelOptions(model=model_path, max_pixels=shape.max_pixels)
        model = replace(model, encoder=load_encoder(options))
        set_flash(model.model, None)
        torch.cuda.empty_cache()
    with watched() as samples:
        if method == VLLM:
            timed = _vllm(shape, prompts, model_path)
        elif model is None:
            raise NotRunError("no model was loaded")
        elif method in (ONE_BY_ONE, BATCHED):
            timed = _plain(model, prompts, 1 if method == ONE_BY_ONE else shape.batch)
        else:
            timed = _engine(method, shape, folder, model_path, model)
    figures: dict[str, Any] = {"examples_s": timed.rate}
    if model is not None:
        work = work_of(model, model.inputs([prompts[0]()]))
        figures |= {"tokens": work.tokens, "tflop": work.tflop}
    if samples := [sample for sample in samples if timed.begun < sample.at < timed.ended]:
        figures["busy"] = sum(sample.busy for sample in samples) / len(samples) / 100
        figures["memory_mib"] = max(sample.mib for sample in samples)
    return figures


@dataclass(frozen=True, slots=True)
class Timed:
    """A rate, and the time in which it was measured."""

    rate: float
    """Examples a second."""
    begun: float
    ended: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What nvidia-smi says of the first GPU."""

    at: float
    """By `time.perf_counter`."""
    busy: float
    """Per cent of the last moments in which something ran."""
    mib: float
    """Memory that is used."""


@contextmanager
def watched() -> Iterator[list[Sample]]:
    """Collect samples, five a second; none without nvidia-smi."""
    samples: list[Sample] = []
    if shutil.which(QUERY[0]) is None:
        yield samples
        return

    def read(lines: IO[str]) -> None:
        for line in lines:
            busy, _, mib = line.partition(",")
            if busy.strip().isdecimal() and mib.strip().isdecimal():
                samples.append(Sample(time.perf_counter(), float(busy), float(mib)))

    with subprocess.Popen(QUERY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = Thread(target=read, args=(process.stdout,))
        reader.start()
        try:
            yield samples
        finally:
            process.terminate()
            reader.join()


def _timed(
    run: Callable[[Sequence[Pieces]], object], prompts: Sequence[Prompt], size: int
) -> Timed:
    """Time batches of a size after a first one; no prompt runs twice: vLLM keeps what it saw."""
    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    run([prompt() for prompt in batches[0]])
    begun, rows = time.perf_counter(), 0
    for batch in batches[1:]:
        run([prompt() for prompt in batch])
        rows += len(batch)
        if time.perf_counter() - begun > TIMED_S:
            break
    ended = time.perf_counter()
    return Timed(rows / (ended - begun), begun, ended)


def _plain(model: LoadedModel, prompts: Sequence[Prompt], size: int) -> Timed:
    """Time what a user of transformers writes: photos, processor, forward, hooks on projections."""
    states: dict[int, torch.Tensor] = {}

    def keep(layer: int, _module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        states[layer] = inputs[0][:, -1]

    handles = [
        point.module.register_forward_pre_hook(partial(keep, point.grid.layer))
        for point in model.hook_points
    ]

    def run(batch: Sequence[Pieces]) -> object:
        with torch.inference_mode():
            model.model(**model.placed(model.inputs(batch)), use_cache=False, logits_to_keep=1)
        return torch.stack([states[layer] for layer in sorted(states)]).float().cpu()

    try:
        return _timed(run, prompts, size)
    finally:
        for handle in handles:
            handle.remove()


def _engine(method: str, shape: Shape, folder: Path, model_path: str, model: LoadedModel) -> Timed:
    """Time the engine as `savs extract --dry-run` does: all but writing shards."""
    probes: list[Any] = []

    def probe(*arguments: Any, **named: Any) -> Any:
        probes.append(probe_class(*arguments, **named))
        return probes[-1]

    probe_class = run_extraction._Probe
    if method == FLASH_ROW and (why := refusal(model)):
        raise NotRunError(why)
    towers = {LOOP: "loop", RUNS: "runs", FLASH_ROW: "auto"}
    with (
        patch.object(model_run, "load", lambda *_, **__: model),
        patch.object(run_extraction, "_Probe", probe),
    ):
        cost = run_extraction.estimate(
            find_benchmark("general"),
            InputOptions(train=folder / "train.jsonl", test=folder / "test.jsonl"),
            ModelOptions(
                model=model_path,
                attention="auto" if method == FLASH_ROW else "sdpa",
                device=str(model.device),
                max_pixels=shape.max_pixels,
            ),
            RunOptions(batch_size=shape.batch, tower_attention=towers[method]),
            None,
        )
    if method == FLASH_ROW and model.attention not in FLASH:
        raise NotRunError("it changes features of the first prompts, or fails on them")
    if cost.examples_per_second is None:
        raise NotRunError("no example could be run")
    return Timed(cost.examples_per_second, probes[0].first, probes[0].last)


def _vllm(shape: Shape, prompts: Sequence[Prompt], model_path: str) -> Timed:
    """Time prefill by vLLM, which gives one token and no features."""
    llm, processor, sampling = _vllm_engine(model_path)

    def request(pieces: Pieces) -> dict[str, Any]:
        content = [
            {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image"}
            for piece in pieces
        ]
        turns = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        images = [piece for piece in pieces if not isinstance(piece, str)]
        limits = {"max_pixels": shape.max_pixels} if shape.max_pixels else {}
        return {
            "prompt": text,
            "multi_modal_data": {"image": images},
            "mm_processor_kwargs": limits,
        }

    def run(batch: Sequence[Pieces]) -> object:
        return llm.generate([*map(request, batch)], sampling, use_tqdm=False)

    return _timed(run, prompts, 1 if shape.batch == 1 else len(prompts) // 4)


@cache
def _vllm_engine(model_path: str) -> tuple[Any, Any, Any]:
    """Return the engine, the processor and the sampling of all shapes: loading takes a minute."""
    from transformers import AutoProcessor
    from vllm import LLM, SamplingParams

    has_weights = not Path(model_path).is_dir() or any(Path(model_path).glob("*.safetensors"))
    llm = LLM(
        model=model_path,
        load_format="auto" if has_weights else "dummy",
        dtype="bfloat16",
        max_model_len=8192,
        limit_mm_per_prompt={"image": max(shape.images for shape in SHAPES)},
    )
    return (
        llm,
        AutoProcessor.from_pretrained(model_path),
        SamplingParams(max_tokens=1, temperature=0.0),
    )
