"""Run stage 1 on a GPU, measure it next to transformers and vLLM, and write docs/results/gpu.md.

    python scripts/check_gpu.py --work build/check-gpu --dollars-per-hour 2.50

Takes some ten minutes with a random Qwen2.5-VL-7B, which needs 24 GB. Finished cells are kept in
WORK/cells.jsonl, so the same command goes on after an interruption; a cell that fails is a row with
its reason. Without a GPU nothing is written; `--narrow` runs the speed part on a CPU with a tiny
model, to test this script: its figures say nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from gpu_check.models import NARROW, QWEN2_5_VL_7B, build_model, write_folder
from gpu_check.shapes import SHAPES, Shape, narrowed, write_shape
from gpu_check.speed import BATCHED, METHODS, VLLM, NotRunError, measure

from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model_run import run_record
from savs.pipeline.running.launchers import ALONE

PAGE = Path(__file__).parents[1] / "docs" / "results" / "gpu.md"
VLLM_PACKAGE = "vllm"
CHECKS = "checks"
"""The cell of the checks, which come before the table."""
PEAK_TFLOPS = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "A10G": 70,
    "A10": 125,
    "RTX 6000 Ada": 364,
    "RTX A6000": 155,
    "4090": 165,
    "3090": 71,
}
"""Part of a GPU's name -> dense bfloat16 TFLOP/s with float32 sums, from NVIDIA's data sheets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cells that are not done, write the page, and return 1 if a check fails."""
    options = parse(arguments)
    if not (torch.cuda.is_available() or options.narrow):
        print("torch sees no GPU: nothing is checked, and no page is written")
        return 0
    if options.child:
        run_cells([tuple(cell) for cell in json.loads(options.child)], options)
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    for shape in shapes_of(options):
        write_shape(shape, options.work)
    for cells in plan(options):
        while todo := [cell for cell in cells if cell not in read_cells(options.work)]:
            run_child(todo, options)
    page = options.page or (options.work / "gpu.md" if options.narrow else PAGE)
    cells = read_cells(options.work)
    page.write_text(make_page(cells, shapes_of(options), options), "utf-8")
    print(f"wrote {page}")
    checks = cells.get((CHECKS, ""), {}).get("checks", [])
    return int(any(check["passed"] is False for check in checks))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for files and results")
    parser.add_argument("--page", type=Path, help="page to write (default: docs/results/gpu.md)")
    parser.add_argument("--checkpoint", help="a Qwen-VL to run in place of random weights")
    parser.add_argument("--dollars-per-hour", type=float, default=2.0, help="price of the GPU")
    parser.add_argument("--peak-tflops", type=float, help="dense bfloat16 peak of the GPU")
    parser.add_argument("--narrow", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


Cell = tuple[str, str]
"""Shape and method, or the checks."""


def shapes_of(options: argparse.Namespace) -> list[Shape]:
    """Return what is measured."""
    return [narrowed(shape) for shape in SHAPES] if options.narrow else list(SHAPES)


def plan(options: argparse.Namespace) -> Iterator[list[Cell]]:
    """Yield the cells of each kind of process: vLLM wants the GPU's memory for itself."""
    ours = [
        (shape.name, method)
        for shape in shapes_of(options)
        for method in METHODS
        if method != VLLM and not (method == BATCHED and shape.batch == 1)
    ]
    yield ours if options.narrow else [(CHECKS, ""), *ours]
    theirs = [(shape.name, VLLM) for shape in shapes_of(options)]
    if find_spec(VLLM_PACKAGE) is not None:
        yield theirs
        return
    for cell in theirs:
        keep(options.work, cell, {"reason": f"{VLLM_PACKAGE} is not installed"})


def run_child(cells: Sequence[Cell], options: argparse.Namespace) -> None:
    """Run cells in a process; the one in which it ends is noted as failed."""
    command = [sys.executable, __file__, "--work", str(options.work), "--child", json.dumps(cells)]
    command += ["--narrow"] if options.narrow else []
    command += ["--checkpoint", options.checkpoint] if options.checkpoint else []
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        command,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    finished = read_cells(options.work)
    left = [cell for cell in cells if cell not in finished]
    if left:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [""]
        reason = f"the process ended with status {done.returncode}: {lines[-1][:200]}"
        keep(options.work, left[0], {"reason": reason})


def run_cells(cells: Sequence[Cell], options: argparse.Namespace) -> None:
    """Run cells in this process, and keep each result."""
    device = "cpu" if options.narrow else "cuda:0"
    shapes = {shape.name: shape for shape in shapes_of(options)}
    path = options.checkpoint or str(options.work / "model")
    if not options.checkpoint:
        write_folder(Path(path), NARROW if options.narrow else QWEN2_5_VL_7B)
    model = None
    if (CHECKS, "") in cells:
        from gpu_check.correctness import check_engine

        checks = check_engine(options.work / SHAPES[0].folder, device)
        keep(options.work, (CHECKS, ""), {"checks": [asdict(check) for check in checks]})
        torch.cuda.empty_cache()
    for name, method in (cell for cell in cells if cell[0] != CHECKS):
        if model is None and method != VLLM:
            model = (
                load_model(path, device=device)
                if options.checkpoint
                else build_model(Path(path), device)
            )
            record = run_record(model, ALONE, "")
            keep(options.work, ("machine", ""), {**record, "cores": os.cpu_count()})
        shape = shapes[name]
        try:
            result = measure(method, shape, options.work / shape.folder, path, model)
        except NotRunError as error:
            result = {"reason": str(error)}
        except Exception as error:  # a cell that fails is a row
            memory = "out of memory" if is_out_of_memory(error) else type(error).__name__
            result = {"reason": f"{memory}: {str(error).partition(chr(10))[0][:200]}"}
        keep(options.work, (name, method), result)
        print(name, method, result, flush=True)


def keep(work: Path, cell: Cell, result: Mapping[str, Any]) -> None:
    """Add a line to the file of finished cells."""
    with (work / "cells.jsonl").open("a") as lines:
        lines.write("\n" + json.dumps({"cell": cell, "found": result}))  # a line before may be cut


def read_cells(work: Path) -> dict[Cell, dict[str, Any]]:
    """Return the finished cells; a line that was cut by an interruption is none."""
    path, cells = work / "cells.jsonl", {}
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(ValueError):
            value = json.loads(line)
            cells[tuple(value["cell"])] = value["found"]
    return cells


def make_page(
    cells: Mapping[Cell, dict[str, Any]], shapes: Sequence[Shape], options: argparse.Namespace
) -> str:
    """Return docs/results/gpu.md."""
    record = cells.get(("machine", ""), {})
    facts = {**record, **record.get("versions", {})}
    gpu = str(facts.get("gpu"))
    known = next((peak for name, peak in PEAK_TFLOPS.items() if name in gpu), None)
    peak = options.peak_tflops or known
    names = ("gpu", "driver", "cuda", "cores", "savs", "torch", "transformers")
    what = options.checkpoint or "a random Qwen2.5-VL-7B"
    lines = [
        "# The engine on a GPU",
        "",
        "This page is for users who want measured figures: `python scripts/check_gpu.py` wrote it.",
        "[Speed](../guide/speed.md) has the arithmetic.",
        "",
        ", ".join(f"{name} {facts.get(name)}" for name in names) + ".",
        "",
    ]
    if options.narrow:
        lines += ["**A tiny model on a CPU: a test of the script; these figures say nothing.**", ""]
        what = "a tiny random model"
    if checks := cells.get((CHECKS, ""), {}).get("checks"):
        holds = {True: "yes", False: "**no**", None: "does not apply"}
        lines += ["| check | holds | seen |", "| --- | --- | --- |"]
        lines += [f"| {c['name']} | {holds[c['passed']]} | {c['what']} |" for c in checks] + [""]
    elif reason := cells.get((CHECKS, ""), {}).get("reason"):
        lines += [f"The checks did not run: {reason}.", ""]
    lines += [
        f"Speed of {what} in bfloat16; each method decodes the photos. Tokens are those of"
        " plain passes, text and images. *Busy* is the share of time that nvidia-smi reports.",
        f"*Of peak* is the arithmetic of plain passes in the measured time, of {peak or 'unknown'}"
        " TFLOP/s; where savs shares images between questions, it runs less than that. Memory is",
        f"that of the whole GPU, of which vLLM takes 90 %. Dollars are for a million images at"
        f" ${options.dollars_per_hour:.2f} an hour.",
    ]
    for shape in shapes:
        lines += ["", f"## {shape.name}", ""]
        lines += [f"Published: {shape.published}.", ""] if shape.published else []
        lines += [
            "| method | ms an example | images/s | tokens/s | busy | memory | of peak | $ |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        works = [result for (name, _), result in cells.items() if name == shape.name]
        work = next((result for result in works if "tflop" in result), {})
        for method in METHODS:
            if result := cells.get((shape.name, method)):
                row = table_row(result, work, shape, peak, options.dollars_per_hour)
                lines.append(f"| {method} | {row} |")
    return "\n".join([*lines, ""])


def table_row(
    result: Mapping[str, Any],
    work: Mapping[str, Any],
    shape: Shape,
    peak: float | None,
    dollars_per_hour: float,
) -> str:
    """Return the figures of a method, or why there are none; `work` is that of one example."""
    if "reason" in result:
        return f"not run: {result['reason']} |" + " |" * 5
    rate = result["examples_s"]
    images = rate * shape.images / shape.questions
    used, busy = result.get("memory_mib"), result.get("busy")
    cells = [
        f"{1000 / rate:.1f}",
        f"{images:.1f}",
        f"{rate * work['tokens']:,.0f}" if work else "-",
        "-" if busy is None else f"{busy:.0%}",
        "-" if used is None else f"{used / 1024:.1f} GiB",
        f"{rate * work['tflop'] / peak:.1%}" if work and peak else "-",
        f"{1e6 / images / 3600 * dollars_per_hour:.2f}",
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    sys.exit(main())
