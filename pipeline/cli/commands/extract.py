"""`savs extract`: stage 1 on the command line."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs.pipeline.cli.options.expansion import expand_options
from savs.pipeline.cli.options.inputs import BenchmarkArgument, resolve_benchmark
from savs.pipeline.cli.options.processes import GpusOption, NoProgressOption, require_own_devices
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, progress, say
from savs.pipeline.cli.skipped import tell_skipped
from savs.pipeline.extraction.cluster.devices import NONE
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.requirements import require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.progress import Reporting
from savs.stores.files.addresses import find_place

if TYPE_CHECKING:
    from savs.pipeline import Extraction


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
        from savs.pipeline.cli.dry_run import print_estimate

        print_estimate(chosen, inputs, model, run, out=place, as_json=json)
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
