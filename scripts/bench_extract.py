"""Measure how busy `savs extract` keeps an accelerator, on this machine's cores.

    python scripts/bench_extract.py --work build/bench-extract

The accelerator is emulated: a model of the heads of Qwen2-VL-7B that takes 10 ms an example and
nothing of the cores, while the program goes on as it does with a GPU. Everything else is real:
files, decoding, processor, transfer between processes, shards on the disk. Each case runs in a
process of its own; its figures are ratios of times of that process. The demo model is the real one
that is compared with its bare forward and with the loop of the method's public code: one example at
a time, hooks on every layer, a cache, all logits, three passes over the training examples.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from extraction_bench.cases import CASES, EXAMPLE_S, SITES, SOUNDS, Case, write_photos
from extraction_bench.emulated import emulate
from extraction_bench.parts import compare_real, prepare_alone
from extraction_bench.questions import (
    ASKED,
    Questions,
    build_model,
    time_questions,
    write_questions,
)

PAIRS = 2
"""Runs of each kind whose best is compared."""


def main() -> None:
    """Run all cases and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    parser.add_argument("--long", action="store_true", help="memory over 5,000 rows, too")
    parser.add_argument("--only", help="cases whose name begins so, questions or sites")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(json.loads(options.child), options.work)))
        return
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores\n")
    named = (*CASES, *SOUNDS) if options.only else CASES
    cases = [case for case in named if case.name.startswith(options.only or "")]
    if cases:
        print("| photos | busy | cores allow | of that | examples/s | whole process |")
        print("| --- | --- | --- | --- | --- | --- |")
    for case in cases:
        _report(case, options.work, cores)
    if not options.only:
        _real(options.work, cores)
    if (options.only or "questions") == "questions":
        _questions(options.work)
    if options.only == "sites":
        _sites(options.work)
    if options.long:
        _memory(options.work)


def _report(case: Case, work: Path, cores: int) -> None:
    write_photos(case, work)
    measured = _run({"case": asdict(case)}, work)
    alone = _run({"prepare": asdict(case)}, work)
    able = min(cores / alone["seconds"], 1 / EXAMPLE_S)
    rate = measured["rows"] / measured["seconds"]
    print(
        f"| {case.name} | {rate * EXAMPLE_S:.0%} | {able * EXAMPLE_S:.0%} | {rate / able:.0%} |"
        f" {rate:.1f} | {measured['rows'] / measured['whole']:.1f}/s, {measured['peak']:.0f} MB |",
        flush=True,
    )


def _sites(work: Path) -> None:
    """Print what all sites cost more than heads alone, in pairs of runs."""
    times_of: dict[str, list[float]] = {}
    for case in SITES:
        write_photos(case, work)
    for case in SITES * PAIRS:
        done = _run({"case": asdict(case)}, work)
        times_of.setdefault(case.name, []).append(1000 * done["seconds"] / done["rows"])
        times_of.setdefault(f"{case.name}, thread", []).append(1000 * done["thread"] / done["rows"])
    for name, times in times_of.items():
        print(f"{name}: {min(times):.2f} ms per example", flush=True)


def _memory(work: Path) -> None:
    case = Case("448 x 448", ("448",), 5000)
    write_photos(case, work)
    peaks = [
        _run({"case": asdict(replace(case, rows=rows))}, work)["peak"] for rows in (1000, 5000)
    ]
    print(f"\npeak memory: {peaks[0]:.0f} MB over 1,000 rows, {peaks[1]:.0f} MB over 5,000")


def _real(work: Path, cores: int) -> None:
    real = _run({"real": True}, work)
    shared = (real["forward_cpu"] + real["prepare_cpu"]) / cores
    print(
        f"\ndemo model, {real['rows']} rows: {real['engine'] / shared:.2f} x (forward +"
        f" preparation) / cores; {real['engine'] / real['forward']:.2f} x the bare forward of the"
        f" same batches; {real['reference'] / real['engine']:.1f} x as fast as the public loop"
    )


def _questions(work: Path) -> None:
    """Print how much faster an extraction is where questions share images, in pairs of runs."""
    build_model(work / "model")
    print("\n| questions per image | each prompt | shared | times as fast |")
    print("| --- | --- | --- | --- |")
    for questions in ASKED:
        write_questions(questions, work)
        times_of: dict[str, list[float]] = {"off": [], "auto": []}
        for reuse in ("off", "auto") * PAIRS:
            done = _run({"questions": asdict(questions), "reuse": reuse}, work)
            times_of[reuse].append(1000 * done["seconds"] / done["rows"])
        plain, shared = (min(times) for times in times_of.values())
        print(
            f"| {questions.each} | {plain:.0f} | {shared:.0f} | {plain / shared:.2f} |", flush=True
        )


def _run(order: dict[str, Any], work: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--work", str(work), "--child", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def _child(order: dict[str, Any], work: Path) -> dict[str, Any]:
    if "real" in order:
        return compare_real(work)
    if "questions" in order:
        return time_questions(Questions(**order["questions"]), work, order["reuse"])
    if "prepare" in order:
        return prepare_alone(Case(**order["prepare"]), work)
    return emulate(Case(**order["case"]), work)


if __name__ == "__main__":
    main()
