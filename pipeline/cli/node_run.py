"""`savs extract --gpus`: a process a GPU on this machine, shown as one run."""

import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from savs.pipeline.cli.output import progress, say
from savs.pipeline.cluster.devices import NONE, parse_devices
from savs.pipeline.cluster.node import Node
from savs.pipeline.cluster.store_progress import StoreProgress
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.launchers import find_rank
from savs.stores import open_store
from savs.stores.errors import StoreIncompleteError, StoreNotFoundError

if TYPE_CHECKING:
    from savs.pipeline import Extraction


def extract_on_node(gpus: str, out: Any) -> "Extraction":
    """Run this same command once a GPU, and return what is in the store then.

    Raises
    ------
    StoreIncompleteError
        All processes ended, and shards are missing.
    """
    from savs.pipeline.extraction.extraction import Extraction, skipped_examples
    from savs.pipeline.extraction.model.placement import count_gpus

    devices = parse_devices(gpus, count_gpus)
    say(f"{len(devices)} processes: {', '.join(devices)}")
    arguments = [*sys.argv[1:], "--gpus", NONE, "--no-progress"]
    node = Node(devices, arguments, find_rank(), say)
    started = time.monotonic()
    with StoreProgress(out, progress) as shown:
        try:
            node.run(shown.tick)
        except KeyboardInterrupt:
            interruption.explain(
                say,
                f"finished shards are safe in {out}; run the same command again to go on",
            )
            raise
    codes = set(node.codes.values())
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
