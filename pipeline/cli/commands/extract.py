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
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    MaxSkipOption,
    advanced,
    option,
    require_page,
    setting,
)
from savs.pipeline.cli.output import (
    REPORTING,
    print_cells,
    print_json,
    print_line,
    say,
    tell_skipped_examples,
)
from savs.pipeline.cluster.engine import LOCAL, RAY
from savs.pipeline.cluster.node import NONE
from savs.pipeline.extraction.model.model_options import ModelOptions, require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.names import DEFAULT_EXAMPLES
from savs.pipeline.running.formatting import counted, format_bytes, format_seconds
from savs.stores.files.addresses import find_place, is_remote

if TYPE_CHECKING:
    from savs.datasets import Benchmark
    from savs.pipeline.extraction.run_extraction import Extraction

MISSING_SHOWN = 10
CLIENT_PORT = ":10001"
"""Where Ray's own client is answered: its addresses keep `ray://`."""
EXAMPLES = (
    'savs extract image-folder --test photos --shots 20 --question "Which animal is this?" \\\n'
    "      --model demo --out pets",
    "savs extract general --train train.jsonl --test test.jsonl --media-root photos \\\n"
    "      --model demo --out features --dry-run --page inputs.html",
    "savs extract image-folder --test photos --shots 20 --model demo --out pets \\\n"
    '      --question "Which animal is this?" --retry-skipped',
)


@expand_options
def extract_command(
    benchmark: BenchmarkArgument,
    inputs: InputOptions,
    out: Annotated[
        str,
        option("--out", metavar="STORE", help="Folder of the feature store, or s3:// gs:// az://."),
    ],
    model: ModelOptions,
    run: RunOptions,
    gpus: GpusOption = NONE,
    dry_run: Annotated[
        bool, option("--dry-run", help="Estimate disk space and time; store nothing.")
    ] = False,
    page: Annotated[
        Path | None,
        option(
            metavar="FILE.html",
            help="With --dry-run: write a page of examples of every class as the model reads them.",
        ),
    ] = None,
    page_examples: Annotated[
        int, setting("--page-examples", min=1, help="Examples of each split on the page.")
    ] = DEFAULT_EXAMPLES,
    engine: Annotated[
        str,
        advanced(
            metavar="local|ray|ray://HOST:PORT|NAME",
            help="Where processes run: here, in a Ray cluster, or by the engine of a package.",
        ),
    ] = LOCAL,
    max_skip: MaxSkipOption = 0,
    actors: Annotated[
        int | None, setting(min=1, help="Ray actors (default: one per GPU of the cluster).")
    ] = None,
    actor_cpus: Annotated[int, setting(min=1, help="CPUs of each Ray actor.")] = 1,
    actor_gpus: Annotated[float, setting(min=0, help="GPUs of each Ray actor.")] = 1.0,
    json: JsonOption = False,
) -> None:
    """Resumes an existing store. Several processes with the same command share the work."""
    chosen = resolve_benchmark(benchmark, inputs)
    require_extra()
    place = find_place(out)
    if page is not None and not dry_run:
        raise typer.BadParameter("`page` shows what would be extracted; add `dry_run`")
    if dry_run:
        if gpus != NONE:
            raise typer.BadParameter("`dry_run` measures one process; leave out `gpus`")
        if page is not None:
            _write_page(chosen, inputs, model, page, page_examples)
        _print_estimate(chosen, inputs, model, run, out=place, as_json=json)
        return
    scheme, _, address = engine.partition("://")
    require_own_devices(gpus, model.device, engine)
    from savs.pipeline.extraction.run_extraction import earlier_skips, store_places

    folders = store_places(place, run)
    before = frozenset() if run.retry_skipped else earlier_skips(folders[0])
    if scheme == RAY:
        from savs.pipeline.cli.node_run import extract_on_ray
        from savs.pipeline.cluster.ray_engine import RayOptions

        place_of_cluster = engine if address.endswith(CLIENT_PORT) else address or None
        options = RayOptions(place_of_cluster, actors, actor_cpus, actor_gpus)
        done = extract_on_ray(options, folders)
    elif engine != LOCAL:
        from savs.pipeline.cli.node_run import extract_on_engine

        done = extract_on_engine(engine, folders)
    elif gpus != NONE:
        from savs.pipeline.cli.node_run import extract_on_node

        done = extract_on_node(gpus, folders)
    else:
        from savs.pipeline.extraction.run_extraction import run_extraction

        done = run_extraction(
            chosen, inputs, model, run, out=place, reporting=REPORTING, name=benchmark
        )
    if json:
        print_json(_summary(done))
    else:
        for store in done.stores.values():
            print_line(str(store.path))
    skipped = [row for row in done.skipped if row[:2] not in before]
    tell_skipped_examples(done.store, skipped, max_skip)


def _summary(done: "Extraction") -> dict[str, Any]:
    return {
        "store": str(done.store.path),
        "sites": {site: str(store.path) for site, store in done.stores.items()},
        "rows": done.rows,
        "seconds": round(done.seconds, 3),
        "missing_shards": [shard.name for shard in done.store.missing()],
        "skipped": [{"split": s, "id": i, "reason": r} for s, i, r in done.skipped],
    }


def _write_page(
    benchmark: "Benchmark", inputs: InputOptions, model: ModelOptions, page: Path, count: int
) -> None:
    """Write a page of the inputs; no weights are loaded."""
    from savs.pipeline.reports.preview.preview import write_preview

    require_page(page)
    content = write_preview(benchmark, inputs, model, out=page, examples=count)
    say(f"wrote {page}")
    for split in content.splits:
        skipped = sum(example.skipped is not None for example in split.shown)
        say(
            f"{split.name}: {counted(split.examples, 'example')}, {len(split.shown):,} shown,"
            f" {skipped:,} of them would be skipped; {len(split.absent):,} have missing media"
        )


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
    from savs.pipeline.extraction.run_extraction import estimate

    say("dry run: reading the input, loading the model, timing a few examples")
    cost = estimate(benchmark, inputs, model, run, out)
    places = () if is_remote(out) else (out, *out.absolute().parents)
    folder = next((place for place in places if place.exists()), None)
    free = None if folder is None else shutil.disk_usage(folder).free
    if as_json:
        print_json(
            {
                "examples": cost.examples,
                "missing_media": cost.missing_media,
                "notes": cost.notes,
                "bytes": sum(cost.bytes.values()),
                "site_bytes": cost.bytes,
                "free_bytes": free,
                "examples_per_second": cost.examples_per_second,
                "seconds": cost.seconds,
            }
        )
        return
    rows = [[f"{split} examples", f"{count:,}"] for split, count in cost.examples.items()]
    rows.append(["media not found", f"{len(cost.missing_media):,}"])
    rows.append(["features and tables", format_bytes(sum(cost.bytes.values()))])
    if len(cost.bytes) > 1:
        rows += [[f"of that {site}", format_bytes(size)] for site, size in cost.bytes.items()]
    if free is not None:
        rows.append([f"free in {folder}", format_bytes(free)])
    if cost.seconds is None:
        rows.append(["estimated time", "unknown: no example could be run"])
    else:
        rows.append(["examples per second", f"{cost.examples_per_second:.1f}"])
        rows.append(["estimated time", format_seconds(cost.seconds)])
    print_cells(["dry run", ""], rows)
    for note in cost.notes:
        say(note)
    for name in cost.missing_media[:MISSING_SHOWN]:
        say(f"not found: {name}")
