"""`savs extract --dry-run`: an estimate of disk space and time."""

import shutil
from pathlib import Path
from typing import Any

from savs.datasets import Benchmark
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.extraction.dry_run import estimate
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.formatting import format_bytes, format_seconds
from savs.stores.files.addresses import is_remote

MISSING_SHOWN = 10


def print_estimate(
    benchmark: Benchmark,
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    *,
    out: Any,
    as_json: bool,
) -> None:
    """Print counts, disk space and estimated time; nothing is written."""
    say("dry run: reading the input, loading the model, timing a few examples")
    found = estimate(benchmark, inputs, model, run, out)
    folder = None if is_remote(out) else _existing(out)
    free = None if folder is None else shutil.disk_usage(folder).free
    if as_json:
        print_json(
            {
                "examples": found.examples,
                "missing_media": found.missing_media,
                "notes": found.notes,
                "bytes": found.bytes,
                "free_bytes": free,
                "examples_per_second": found.examples_per_second,
                "seconds": found.seconds,
            }
        )
        return
    rows = [[f"{split} examples", f"{count:,}"] for split, count in found.examples.items()]
    rows.append(["images not found", f"{len(found.missing_media):,}"])
    rows.append(["features and tables", format_bytes(found.bytes)])
    if free is not None:
        rows.append([f"free in {folder}", format_bytes(free)])
    if found.seconds is None:
        rows.append(["estimated time", "unknown: no example could be run"])
    else:
        rows.append(["examples per second", f"{found.examples_per_second:.1f}"])
        rows.append(["estimated time", format_seconds(found.seconds)])
    print_table(["dry run", ""], rows)
    for note in found.notes:
        say(note)
    for name in found.missing_media[:MISSING_SHOWN]:
        say(f"not found: {name}")


def _existing(out: Path) -> Path:
    return next(p for p in (out, *out.absolute().parents) if p.exists())
