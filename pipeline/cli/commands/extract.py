"""`savs extract`: stage 1 on the command line."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.pipeline.cli.options.fields import (
    BenchmarkArgument,
    GpusOption,
    expand_options,
    require_own_devices,
    resolve_benchmark,
)
from savs.pipeline.cli.options.shared import (
    JsonOption,
    NoProgressOption,
    option,
)
from savs.pipeline.cli.output import (
    print_json,
    print_line,
    print_table,
    progress,
    say,
    tell_skipped,
)
from savs.pipeline.extraction.cluster.node import NONE
from savs.pipeline.extraction.model.model_options import ModelOptions, require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.formatting import format_bytes, format_seconds
from savs.pipeline.running.progress import Reporting
from savs.stores.files.addresses import find_place, is_remote

if TYPE_CHECKING:
    from savs.datasets import Benchmark
    from savs.pipeline import Extraction

MISSING_SHOWN = 10


@expand_options
def extract_command(
    benchmark: BenchmarkArgument,
    out: Annotated[
        str,
        option("--out", metavar="STORE", help="Folder of the feature store, or s3:// gs:// az://."),
    ],
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    dry_run: Annotated[
        bool, option("--dry-run", help="Estimate disk space and time; write nothing.")
    ] = False,
    max_skip: Annotated[
        int, option(min=0, help="Exit with code 4 if more examples are skipped.")
    ] = 0,
    gpus: GpusOption = NONE,
    engine: Annotated[
        str, option(metavar="local|ray", help="Where processes run: here, or in a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, option(metavar="HOST:PORT", help="Ray cluster, or auto (default: a new one).")
    ] = None,
    actors: Annotated[
        int | None, option(min=1, help="Ray actors (default: one per GPU of the cluster).")
    ] = None,
    actor_cpus: Annotated[int, option(min=1, help="CPUs of each Ray actor.")] = 1,
    actor_gpus: Annotated[float, option(min=0, help="GPUs of each Ray actor.")] = 1.0,
    no_progress: NoProgressOption = False,
    json: JsonOption = False,
) -> None:
    """Resume an existing store; finished shards are kept.

    Start it as often as you like: the processes share the work.
    """
    chosen = resolve_benchmark(benchmark, inputs)
    require_extra()
    place = find_place(out)
    if dry_run:
        if gpus != NONE:
            raise typer.BadParameter("--dry-run measures one process; leave out --gpus")
        _print_estimate(chosen, inputs, model, run, out=place, as_json=json)
        return
    if engine not in ("local", "ray"):
        raise typer.BadParameter(f"--engine is {engine!r}, expected local or ray")
    require_own_devices(gpus, model.device, engine)
    if engine == "ray":
        from savs.pipeline.cli.node_run import extract_on_ray
        from savs.pipeline.extraction.cluster.ray_engine import RayOptions

        done = extract_on_ray(RayOptions(address, actors, actor_cpus, actor_gpus), place)
    elif gpus != NONE:
        from savs.pipeline.cli.node_run import extract_on_node

        done = extract_on_node(gpus, place)
    else:
        from savs.pipeline.extraction.run_extraction import run_extraction

        reporting = Reporting(say) if no_progress else Reporting(say, progress)
        done = run_extraction(chosen, inputs, model, run, out=place, reporting=reporting)
    if json:
        print_json(_summary(done))
    else:
        print_line(str(done.store.path))
    lines = [f"{split} {identifier}: {reason}" for split, identifier, reason in done.skipped]
    tell_skipped(lines, "`savs show` lists all", max_skip)


def _summary(done: "Extraction") -> dict[str, Any]:
    return {
        "store": str(done.store.path),
        "rows": done.rows,
        "seconds": round(done.seconds, 3),
        "missing_shards": [shard.name for shard in done.store.missing()],
        "skipped": [{"split": s, "id": i, "reason": r} for s, i, r in done.skipped],
    }


def _print_estimate(
    benchmark: "Benchmark",
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    *,
    out: Any,
    as_json: bool,
) -> None:
    """Print counts, disk space and estimated time; nothing is written."""
    from savs.pipeline.extraction.dry_run import estimate

    say("dry run: reading the input, loading the model, timing a few examples")
    cost = estimate(benchmark, inputs, model, run, out)
    folder = None if is_remote(out) else _existing(out)
    free = None if folder is None else shutil.disk_usage(folder).free
    if as_json:
        print_json(
            {
                "examples": cost.examples,
                "missing_media": cost.missing_media,
                "notes": cost.notes,
                "bytes": cost.bytes,
                "free_bytes": free,
                "examples_per_second": cost.examples_per_second,
                "seconds": cost.seconds,
            }
        )
        return
    rows = [[f"{split} examples", f"{count:,}"] for split, count in cost.examples.items()]
    rows.append(["images not found", f"{len(cost.missing_media):,}"])
    rows.append(["features and tables", format_bytes(cost.bytes)])
    if free is not None:
        rows.append([f"free in {folder}", format_bytes(free)])
    if cost.seconds is None:
        rows.append(["estimated time", "unknown: no example could be run"])
    else:
        rows.append(["examples per second", f"{cost.examples_per_second:.1f}"])
        rows.append(["estimated time", format_seconds(cost.seconds)])
    print_table(["dry run", ""], rows)
    for note in cost.notes:
        say(note)
    for name in cost.missing_media[:MISSING_SHOWN]:
        say(f"not found: {name}")


def _existing(out: Path) -> Path:
    return next(p for p in (out, *out.absolute().parents) if p.exists())
