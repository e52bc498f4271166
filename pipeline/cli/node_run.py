"""`--gpus` and `--engine ray`: many processes, shown as one run."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from savs.pipeline.cli.output import progress, say
from savs.pipeline.cluster.engine import run_on_engine
from savs.pipeline.cluster.node import (
    DONE,
    NONE,
    Node,
    exit_code,
    parse_devices,
    parts_progress,
    with_options,
)
from savs.pipeline.cluster.ray_engine import RayOptions, run_on_ray
from savs.pipeline.errors import OutputError
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.launchers import find_rank
from savs.stores import open_store
from savs.stores.errors import StoreError, StoreIncompleteError, StoreNotFoundError
from savs.stores.files.object_store import file_names
from savs.stores.format.manifest import read_manifest

if TYPE_CHECKING:
    from savs.pipeline.extraction.run_extraction import Extraction

PART = "part"
"""Value of `--gpus` of a process that extracts its share for a training."""
QUIET = ("--gpus", NONE, "--no-progress")
"""Options of each of the processes, after those that were given."""


def extract_on_node(gpus: str, folders: Sequence[Any]) -> "Extraction":
    """Run this same command once a GPU, and return what is in the stores then.

    `folders` are those of the stores, one for each site; the first leads. StoreIncompleteError if
    all processes ended, and shards are missing.
    """
    return _with_progress(folders, lambda tick: _run_node(gpus, QUIET, tick))


def classify_on_node(gpus: str, inputs: Sequence[str], out: Path | None, *, force: bool) -> None:
    """Run this same command once a GPU; its predictions are in `out` then.

    ParameterError if several processes cannot do this; OutputError if all processes ended, and
    predictions are missing.
    """
    from savs.pipeline.classifying.classification import require_shareable
    from savs.pipeline.classifying.classified_store import store_beside

    out = require_shareable(inputs, out, force=force)
    store = store_beside(out)
    with parts_progress(lambda: _files(store), lambda: _planned(store), progress) as (tick, _):
        codes = _run_node(gpus, QUIET, tick)
    if not {*codes} & {*DONE}:
        raise typer.Exit(exit_code(codes))  # the processes have said why
    if _planned(store).keys() - _files(store):
        raise OutputError(
            f"all processes ended, and predictions for {out} are missing; see above, then run the"
            " same command again"
        )


def train_on_node(gpus: str, folder: Path) -> None:
    """Run this same command once a GPU; each process extracts its share into the store.

    What they leave, because one was killed, say, the training extracts itself.
    """
    with parts_progress(lambda: _files(folder), lambda: _planned(folder), progress) as (tick, _):
        _run_node(gpus, ("--gpus", PART, "--no-progress"), tick)


def _run_node(gpus: str, options: Sequence[str], tick: Callable[[], None]) -> list[int]:
    """Run this same command once a GPU, with further options; return the exit codes."""
    from savs.pipeline.extraction.model.placement import count_gpus

    devices = parse_devices(gpus, count_gpus)
    say(f"{len(devices)} process{'' if len(devices) == 1 else 'es'}: {', '.join(devices)}")
    node = Node(devices, with_options(sys.argv[1:], options), find_rank(), say)
    node.run(tick)
    return list(node.codes.values())


def extract_on_ray(options: RayOptions, folders: Sequence[Any], here: str) -> "Extraction":
    """Run this same command in each actor of a Ray cluster; as `extract_on_node`.

    `here` is the engine of each.
    """
    arguments = with_options(sys.argv[1:], [*QUIET, "--engine", here])
    return _with_progress(
        folders, lambda tick: run_on_ray(run_here, arguments, options, say=say, tick=tick)
    )


def extract_on_engine(name: str, folders: Sequence[Any], here: str) -> "Extraction":
    """Run this same command by the engine of an installed package; as `extract_on_ray`."""
    arguments = with_options(sys.argv[1:], [*QUIET, "--engine", here])
    return _with_progress(
        folders, lambda tick: run_on_engine(name, run_here, arguments, say=say, tick=tick)
    )


def run_here(arguments: Sequence[str]) -> int:
    """Run the `savs` command in this process, and return its exit code."""
    from savs.pipeline.cli.app import main

    sys.argv = ["savs", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def _with_progress(
    folders: Sequence[Any], run: Callable[[Callable[[], None]], list[int]]
) -> "Extraction":
    """Run processes, show how far the store is that leads, and return what is in all."""
    from savs.pipeline.extraction.run_extraction import finished

    out = folders[0]
    started = time.monotonic()
    with parts_progress(lambda: _files(out), lambda: _planned(out), progress) as (tick, before):
        try:
            codes = run(tick)
        except KeyboardInterrupt:
            interruption.explain(
                say, f"finished shards are safe in {out}; run the same command again to go on"
            )
            raise
    try:
        store = open_store(out)
    except StoreNotFoundError:
        raise typer.Exit(exit_code(codes)) from None  # the processes have said why
    if store.missing():
        raise StoreIncompleteError(
            f"all processes ended, and {len(store.missing())} shards of {out} are missing; see"
            " above, then run the same command again"
        )
    new_shards = [spec for spec in store.present() if spec.name not in before]
    rows = sum(spec.rows for spec in new_shards)
    return finished(folders, rows, time.monotonic() - started)


def _planned(folder: Any) -> Mapping[str, int]:
    try:
        return {spec.name: spec.rows for spec in read_manifest(folder).plan.shards()}
    except StoreError:  # not made yet, or the processes will say what is wrong
        return {}


def _files(folder: Any) -> set[str]:
    try:
        return file_names(folder)
    except FileNotFoundError:  # not made yet
        return set()
