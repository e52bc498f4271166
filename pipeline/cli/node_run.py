"""`savs extract --gpus` and `--engine ray`: many processes, shown as one run."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from savs.pipeline.cli.output import progress, say
from savs.pipeline.cluster.devices import NONE, parse_devices
from savs.pipeline.cluster.node import Node
from savs.pipeline.cluster.ray_engine import RayOptions, run_on_ray
from savs.pipeline.cluster.store_progress import StoreProgress
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.launchers import find_rank
from savs.stores import open_store
from savs.stores.errors import StoreIncompleteError, StoreNotFoundError

if TYPE_CHECKING:
    from savs.pipeline import Extraction

ALONE = ("--gpus", NONE, "--engine", "local", "--no-progress")
"""Options of each of the processes, behind those that were given."""


def extract_on_node(gpus: str, out: Any) -> "Extraction":
    """Run this same command once a GPU, and return what is in the store then.

    Raises
    ------
    StoreIncompleteError
        All processes ended, and shards are missing.
    """
    from savs.pipeline.extraction.model.placement import count_gpus

    devices = parse_devices(gpus, count_gpus)
    say(f"{len(devices)} processes: {', '.join(devices)}")
    node = Node(devices, [*sys.argv[1:], *ALONE], find_rank(), say)

    def run(tick: Callable[[], None]) -> list[int]:
        node.run(tick)
        return list(node.codes.values())

    return _shown(out, run)


def extract_on_ray(options: RayOptions, out: Any) -> "Extraction":
    """Run this same command in each actor of a Ray cluster; as `extract_on_node`."""
    arguments = [*sys.argv[1:], *ALONE]
    return _shown(out, lambda tick: run_on_ray(run_here, arguments, options, say=say, tick=tick))


def run_here(arguments: Sequence[str]) -> int:
    """Run the `savs` command in this process, and return its exit code."""
    from savs.pipeline.cli.app import main

    sys.argv = ["savs", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def _shown(out: Any, run: Callable[[Callable[[], None]], list[int]]) -> "Extraction":
    """Run processes, show how far their store is, and return what is in it."""
    from savs.pipeline.extraction.extraction import Extraction, skipped_examples

    started = time.monotonic()
    with StoreProgress(out, progress) as shown:
        try:
            codes = run(shown.tick)
        except KeyboardInterrupt:
            interruption.explain(
                say, f"finished shards are safe in {out}; run the same command again to go on"
            )
            raise
    try:
        store = open_store(out)
    except StoreNotFoundError:
        raise typer.Exit(max(codes)) from None  # the processes have said why
    if store.missing():
        raise StoreIncompleteError(
            f"all processes ended, and {len(store.missing())} shards of {out} are missing; see"
            " above, then run the same command again"
        )
    made = [spec for spec in store.present() if spec.name not in shown.before]
    rows = sum(spec.rows for spec in made)
    return Extraction(store, rows, time.monotonic() - started, skipped_examples(store))
