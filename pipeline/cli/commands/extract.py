"""`savs extract`: stage 1 on the command line."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, skipped_examples
from savs.pipeline.cluster.node import require_own_devices
from savs.pipeline.extraction.model.model_options import ModelOptions, require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.names import DEFAULT_EXAMPLES
from savs.pipeline.running.formatting import counted, format_bytes, format_seconds
from savs.pipeline.running.option_texts import parse_engine
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.running.table import Table
from savs.stores.files.addresses import find_place, is_remote

if TYPE_CHECKING:
    from savs.pipeline.extraction.run_extraction import Extraction, ExtractionCost
    from savs.pipeline.reports.preview.preview import PreviewContent

MISSING_SHOWN = 10
CLIENT_PORT = ":10001"
"""Where Ray's own client is answered: its addresses keep `ray://`."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A dry run."""

    cost: "ExtractionCost"
    page: "PreviewContent | None"


@dataclass(frozen=True, slots=True)
class Done:
    """An extraction, and the examples that an earlier one had skipped."""

    run: "Extraction"
    before: frozenset[tuple[str, str]]


def extract(
    benchmark: str,
    *,
    inputs: Annotated[InputOptions, Option(level="python")],
    out: Annotated[str, Option(metavar="STORE")],
    model: Annotated[ModelOptions, Option(level="python")],
    run: Annotated[RunOptions, Option(level="python")],
    gpus: Annotated[str, Option(metavar="all|N|0,2")] = "none",
    dry_run: bool = False,
    page: Annotated[str | None, Option(metavar="FILE.html")] = None,
    processes: Annotated[
        str,
        Option(
            level="more",
            name="engine",
            metavar="NAME[,KEY=VALUE...]",
            parse=parse_engine,
            fills={
                "engine": "vllm",
                "ranks": "vllm,ranks=N",
                "compare_with": "vllm,against=STORE",
                "workers": "local,workers=N",
                "shard_rows": "local,shard_rows=N",
                "actors": "ray,actors=N",
                "actor_cpus": "ray,cpus=N",
                "actor_gpus": "ray,gpus=N",
            },
        ),
    ] = "local",
    actors: Annotated[int | None, Option(level="python")] = None,
    actor_cpus: Annotated[int, Option(level="python")] = 1,
    actor_gpus: Annotated[float, Option(level="python")] = 1.0,
    reporting: Reporting = SILENT,
) -> Planned | Done:
    """Extract features in this process or in many, or estimate what that takes.

    Parameters
    ----------
    benchmark
        A name from `savs benchmarks`, or a Python file (mine.py).
    out
        Folder of the feature store, or s3:// gs:// az://.
    gpus
        Start a process per GPU on this machine: all, a number, or a list.
    dry_run
        Estimate disk space and time; store nothing.
    page
        With `dry_run`: write a page of examples of every class as the model reads them.
    processes
        Where processes run: local, ray or ray://HOST:PORT, or the engine of a package; or vllm: the
        model runs in vLLM. Then with commas what you want otherwise: workers=N (to decode; 0: none)
        and shard_rows=N (examples per file); of Ray actors=N, cpus=N and gpus=N of each (default:
        one per GPU); of vllm ranks=N (GPUs per model) and against=STORE (compare with its rows).
    actors
        Ray actors (default: one per GPU of the cluster).
    actor_cpus
        CPUs of each Ray actor.
    actor_gpus
        GPUs of each Ray actor.
    """
    from savs.pipeline.inputs.chosen_benchmark import choose_benchmark

    chosen = choose_benchmark(
        benchmark, columns=inputs.columns, question=inputs.question, labels=inputs.labels
    )
    require_extra()
    place = find_place(out)
    if page is not None and not dry_run:
        raise ParameterError("`page` shows what would be extracted; add `dry_run`")
    if dry_run:
        from savs.pipeline.extraction.run_extraction import estimate

        if gpus != "none":
            raise ParameterError("`dry_run` measures one process; leave out `gpus`")
        content = None
        if page is not None:
            from savs.pipeline.reports.pages.rendering import require_page
            from savs.pipeline.reports.preview.preview import write_preview

            require_page(Path(page))
            content = write_preview(
                chosen, inputs, model, out=Path(page), examples=DEFAULT_EXAMPLES
            )
        reporting.say("dry run: reading the input, loading the model, timing a few examples")
        return Planned(estimate(chosen, inputs, model, run, place), content)
    scheme, _, address = processes.partition("://")
    require_own_devices(gpus, model.device, processes)
    from savs.pipeline.extraction.run_extraction import (
        earlier_skips,
        run_extraction,
        store_places,
    )

    folders = store_places(place, run)
    before = frozenset() if run.retry_skipped else earlier_skips(folders[0])
    if scheme == "ray":
        from savs.pipeline.cli.node_run import extract_on_ray
        from savs.pipeline.cluster.ray_engine import RayOptions

        place_of_cluster = processes if address.endswith(CLIENT_PORT) else address or None
        options = RayOptions(place_of_cluster, actors, actor_cpus, actor_gpus)
        return Done(extract_on_ray(options, folders, _here(run)), before)
    if processes != "local":
        from savs.pipeline.cli.node_run import extract_on_engine

        return Done(extract_on_engine(processes, folders, _here(run)), before)
    if gpus != "none":
        from savs.pipeline.cli.node_run import extract_on_node

        return Done(extract_on_node(gpus, folders), before)
    done = run_extraction(
        chosen, inputs, model, run, out=place, reporting=reporting, name=benchmark
    )
    return Done(done, before)


def _here(run: RunOptions) -> str:
    """Return the engine of each of many processes."""
    numbers = {"workers": run.workers, "shard_rows": run.shard_rows}
    return ",".join(["local", *(f"{k}={n}" for k, n in numbers.items() if n is not None)])


def prepare(options: Options) -> Options:
    """Make the objects of options; a value that they refuse is a usage error."""
    arguments, objects = dict(options), {}
    for name, kind in (("inputs", InputOptions), ("model", ModelOptions), ("run", RunOptions)):
        names = [field.name for field in fields(kind) if field.name in arguments]
        values = {name: arguments.pop(name) for name in names}
        try:
            objects[name] = kind(**values)
        except SavsError as error:
            raise typer.BadParameter(str(error)) from error
    return arguments | objects


def show(done: Planned | Done, options: Options) -> Shown:
    """Word the stores and what was skipped, or the estimate."""
    if isinstance(done, Planned):
        return _planned(done, options)
    run = done.run
    skipped = [row for row in run.skipped if row[:2] not in done.before]
    messages, code = skipped_examples(run.store, skipped, options["max_skip"])
    facts = {
        "store": str(run.store.path),
        "sites": {site: str(store.path) for site, store in run.stores.items()},
        "rows": run.rows,
        "seconds": round(run.seconds, 3),
        "missing_shards": [shard.name for shard in run.store.missing()],
        "skipped": [{"split": s, "id": i, "reason": r} for s, i, r in run.skipped],
    }
    data = [str(store.path) for store in run.stores.values()]
    return Shown(facts=facts, data=data, messages=messages, exit_code=code)


def _planned(done: Planned, options: Options) -> Shown:
    cost, place = done.cost, find_place(options["out"])
    places: Iterable[Path] = () if is_remote(place) else (place, *place.absolute().parents)
    folder = next((place for place in places if place.exists()), None)
    free = None if folder is None else shutil.disk_usage(folder).free
    facts = {
        "examples": cost.examples,
        "missing_media": cost.missing_media,
        "notes": cost.notes,
        "bytes": sum(cost.bytes.values()),
        "site_bytes": cost.bytes,
        "free_bytes": free,
        "examples_per_second": cost.examples_per_second,
        "seconds": cost.seconds,
    }
    rows = [[f"{split} examples", f"{count:,}"] for split, count in cost.examples.items()]
    rows.append(["media not found", f"{len(cost.missing_media):,}"])
    rows.append(["features and tables", format_bytes(sum(cost.bytes.values()))])
    if len(cost.bytes) > 1:
        rows += [[f"site {site}", format_bytes(size)] for site, size in cost.bytes.items()]
    if free is not None:
        rows.append([f"free in {folder}", format_bytes(free)])
    if cost.seconds is None:
        rows.append(["estimated time", "unknown: no example could be run"])
    else:
        rows.append(["examples per second", f"{cost.examples_per_second:.1f}"])
        rows.append(["estimated time", format_seconds(cost.seconds)])
    messages = [*_page_words(done, options["page"])]
    if not options["json"]:
        messages += cost.notes
        messages += [f"not found: {name}" for name in cost.missing_media[:MISSING_SHOWN]]
    return Shown(facts=facts, data=[Table.of_cells(["dry run", ""], rows)], messages=messages)


def _page_words(done: Planned, page: str | None) -> list[str]:
    if done.page is None:
        return []
    words = [f"wrote {page}"]
    for split in done.page.splits:
        skipped = sum(example.skipped is not None for example in split.shown)
        words.append(
            f"{split.name}: {counted(split.examples, 'example')}, {len(split.shown):,} shown,"
            f" {skipped:,} would be skipped; {len(split.absent):,} have missing media"
        )
    return words


COMMAND = Command(
    function="savs.pipeline.cli.commands.extract:extract",
    about="Resumes an existing store. Several processes with the same command share the work.",
    examples=(
        'savs extract image-folder --test photos --shots 20 --question "Which animal is this?" \\\n'
        "      --model demo --out pets",
        "savs extract general --train train.jsonl --test test.jsonl --media-root photos \\\n"
        "      --model demo --out features --dry-run --page inputs.html",
        "savs extract image-folder --test photos --shots 20 --model demo --out pets \\\n"
        '      --question "Which animal is this?" --retry-skipped',
    ),
    kinds=(InputOptions, ModelOptions, RunOptions),
    allows=(*("outside", "urls", "private-addresses", "images", "drafts", "remote-code", "skips"),),
    prepare=prepare,
    show=show,
)
