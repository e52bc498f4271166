"""`--engine ray`: actors of a Ray cluster, with a GPU each, that claim shards of one store.

Ray starts the actors, starts those again whose process or node is lost, and adds nodes. Who makes
which shard is decided by claims alone, so an actor may die at any moment, and may come late.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from savs.foundation.errors import ParameterError
from savs.foundation.imports import install_command
from savs.pipeline.cluster.node import DONE, TICK_S
from savs.pipeline.errors import ClusterError, MissingExtraError
from savs.pipeline.running import signals as interruption

PATIENCE_S = 10.0
"""How long actors at work are waited for when the store is complete."""
PASSED_ON = ("HF_", "AWS_", "GOOGLE_", "AZURE_", "SAVS_EXTRACT_")
"""How the variables begin that actors get: of models, storages, and options of the command."""
RESTARTS = 20
"""How often Ray starts an actor again whose process or node is lost."""


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What an extraction asks of a Ray cluster; ParameterError if a number is out of its range."""

    address: str | None = None
    """Of the cluster: `auto`, `host:6379` or `ray://host:10001`; by default one is started here."""
    actors: int | None = None
    """Processes; one that finds no room waits for it. By default one for each GPU there is."""
    cpus: int = 1
    """Cores of each: for its workers, and one for the model."""
    gpus: float = 1.0
    """GPUs of each; 0 runs the model on the CPU."""

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise ParameterError(f"`actors` is {self.actors}, expected at least 1")
        if self.cpus < 1 or self.gpus < 0:
            raise ParameterError(
                f"`actor_cpus` is {self.cpus} and `actor_gpus` {self.gpus}, expected at least 1"
                " and 0"
            )


def run_on_ray(
    command: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    options: RayOptions,
    *,
    say: Callable[[str], None],
    tick: Callable[[], None],
) -> list[int]:
    """Run a command in each actor, wait for all, and return their exit codes.

    `command` is a function of a module, which runs the command in a process and returns its exit
    code; `tick` is called meanwhile. MissingExtraError if Ray is not installed. ClusterError if
    there is no cluster at the address, no room in it, or it lost an actor too often.
    """
    if find_spec("ray") is None:
        raise MissingExtraError(
            f"`engine` ray needs an extra; install with: {install_command('ray')}"
        )
    ray: Any = import_module("ray")

    _connect(ray, options.address)
    try:
        count = options.actors or int(ray.cluster_resources().get("GPU", 0) // (options.gpus or 1))
        if not count:
            raise ClusterError(
                "the Ray cluster has no GPU yet; pass `actors` N to wait for N actors, or"
                " `actor_gpus` 0 with it"
            )
        say(f"{count} actors with {options.gpus:g} GPUs and {options.cpus} CPUs each")
        kind: Any = ray.remote(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )(Extractor)
        actors = [kind.remote(_environment(n, count)) for n in range(count)]
        return _finish(ray, [actor.run.remote(command, arguments) for actor in actors], tick)
    finally:
        ray.shutdown()  # which ends the actors of this program


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address or "local", include_dashboard=False, log_to_driver=True)
    except (ConnectionError, ValueError, TimeoutError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"no Ray cluster answers at {address} ({reason}); start one with `ray start --head`,"
            " or let `engine` ray start one here"
        ) from error


def _environment(number: int, count: int) -> dict[str, str]:
    """Return what tells an actor which one it is: Ray shows it its own GPUs alone."""
    rank = {"RANK": number, "WORLD_SIZE": count, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return passed_on | {name: str(value) for name, value in rank.items()} | {"PWD": str(Path.cwd())}


def _finish(ray: Any, running: list[Any], tick: Callable[[], None]) -> list[int]:
    """Return the exit codes of actors, once one has done all: the store is complete then.

    Actors that still wait for room would find nothing to do; those at work end within moments.
    """
    codes: list[int] = []
    deadline_s = math.inf
    while running and time.monotonic() < deadline_s:
        interruption.raise_if_interrupted()
        ended, running = ray.wait(running, timeout=TICK_S)
        tick()
        try:
            codes += ray.get(ended)
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"Ray gave up on an actor: {str(error).strip().partition(chr(10))[0]}; finished"
                " shards are kept, run the same command again"
            ) from error
        if math.isinf(deadline_s) and any(code in DONE for code in codes):
            deadline_s = time.monotonic() + PATIENCE_S
    return codes


class Extractor:
    """An actor: runs the command in its own process, as often as Ray starts it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        if Path(environment["PWD"]).is_dir():  # else paths are to be absolute, or URLs
            os.chdir(environment["PWD"])

    def run(self, command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
        """Run the command and return its exit code."""
        return command(arguments)
