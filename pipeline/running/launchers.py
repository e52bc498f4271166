"""Which of several processes this is, by the variables that launchers and schedulers set.

Nothing is exchanged between ranks but claims in the store. So the numbers only say which GPU a
rank takes, where among the shards it begins, and with how many it shares the cores of its machine.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from savs.foundation.bounds import whole_number
from savs.foundation.errors import ParameterError

REMEDY = "unset the variables of another job, or start the ranks with one launcher"


@dataclass(frozen=True, slots=True)
class Rank:
    """A process among those that one command, or one job, started."""

    rank: int = 0
    ranks: int = 1
    """Processes in all."""
    local_rank: int = 0
    """Number among those of this machine."""
    local_ranks: int = 1
    """Processes on this machine."""
    launcher: str | None = None
    """Who started them; None if nobody says so."""


ALONE = Rank()


@dataclass(frozen=True, slots=True)
class _Launcher:
    """Names of a launcher's variables."""

    name: str
    rank: str
    ranks: str
    local_rank: str
    local_ranks: str


LAUNCHERS = (
    _Launcher("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    _Launcher(
        "mpirun",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    _Launcher("MPI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
"""The innermost launcher comes first: `srun torchrun` starts the ranks with torchrun.
`accelerate launch` sets the variables of torchrun."""


def find_rank(environ: Mapping[str, str] = os.environ) -> Rank:
    """Return which process this is; the only one if no launcher says otherwise.

    ParameterError if a variable is missing while others of its launcher are set, is no number, or
    contradicts.
    """
    for launcher in LAUNCHERS:
        if launcher.name == "MPI" and _is_pmi_of_srun(environ):
            return _by_slurm(environ)
        if launcher.rank in environ and launcher.ranks in environ:
            return _by_launcher(launcher, environ)
        if launcher.name == "torchrun" and {launcher.rank, launcher.ranks} & environ.keys():
            present = launcher.rank if launcher.rank in environ else launcher.ranks
            absent = launcher.ranks if launcher.rank in environ else launcher.rank
            raise ParameterError(f"{present} is set and {absent} is not; {REMEDY}")
    return _by_slurm(environ)


def _is_pmi_of_srun(environ: Mapping[str, str]) -> bool:
    """Return whether `srun` itself set the PMI variables: its plugin gives no local numbers."""
    pairs = (("PMI_RANK", "SLURM_PROCID"), ("PMI_SIZE", "SLURM_STEP_NUM_TASKS"))
    return "MPI_LOCALRANKID" not in environ and all(
        ours in environ and environ[ours] == environ.get(theirs) for ours, theirs in pairs
    )


def _by_launcher(launcher: _Launcher, environ: Mapping[str, str]) -> Rank:
    rank, ranks = _number(launcher.rank, environ), _number(launcher.ranks, environ)
    local = _number(launcher.local_rank, environ)
    together = _number(launcher.local_ranks, environ, local + 1)
    _require_below(launcher.rank, rank, launcher.ranks, ranks)
    _require_below(launcher.local_rank, local, launcher.local_ranks, together)
    if together > ranks:
        raise ParameterError(
            f"{launcher.local_ranks} is {together}, more than {launcher.ranks}, {ranks}; {REMEDY}"
        )
    return Rank(rank, ranks, local, together, launcher.name)


def _by_slurm(environ: Mapping[str, str]) -> Rank:
    """Return the place in a SLURM job: its number in the array, its task in `srun`, or both.

    `SLURM_NTASKS` does not say how many tasks run: in a job without `srun` there is one.
    """
    task, tasks, local, together = 0, 1, 0, 1
    if "SLURM_STEP_NUM_TASKS" in environ and "SLURM_PROCID" in environ:
        task = _number("SLURM_PROCID", environ)
        tasks = _number("SLURM_STEP_NUM_TASKS", environ)
        local = _number("SLURM_LOCALID", environ)
        together = _tasks_here(environ, local + 1)
        _require_below("SLURM_PROCID", task, "SLURM_STEP_NUM_TASKS", tasks)
        _require_below("SLURM_LOCALID", local, "SLURM_STEP_TASKS_PER_NODE", together)
    job, jobs = _place_in_array(environ)
    if (tasks, jobs) == (1, 1):
        return ALONE
    return Rank(job * tasks + task, jobs * tasks, local, together, "SLURM")


def _place_in_array(environ: Mapping[str, str]) -> tuple[int, int]:
    """Return number and size of an array: its ids may begin anywhere and leave gaps."""
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return 0, 1
    number = _number("SLURM_ARRAY_TASK_ID", environ)
    first = _number("SLURM_ARRAY_TASK_MIN", environ)
    step = max(_number("SLURM_ARRAY_TASK_STEP", environ, 1), 1)
    count = _number("SLURM_ARRAY_TASK_COUNT", environ, 1)
    place = (number - first) // step
    if place < 0:
        raise ParameterError(
            f"SLURM_ARRAY_TASK_ID is {number}, below SLURM_ARRAY_TASK_MIN, {first}; {REMEDY}"
        )
    return place % count, count  # a list such as 1,5,7 has no step


def _tasks_here(environ: Mapping[str, str], default: int) -> int:
    """Return the tasks of this node, of a list such as `4(x2),3`; nodes count from 0."""
    counts: list[int] = []
    for part in environ.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        count, repeats = whole_number(tasks), whole_number(times or "1")
        if count is not None and repeats is not None:
            counts += [count] * repeats
    node = _number("SLURM_NODEID", environ)
    return counts[node] if node < len(counts) else default


def _number(name: str, environ: Mapping[str, str], default: int = 0) -> int:
    text = environ.get(name, str(default))
    number = whole_number(text)
    if number is None:
        raise ParameterError(f"{name} is {text!r:.50}, expected a number from 0 on; {REMEDY}")
    return number


def _require_below(name: str, value: int, other: str, limit: int) -> None:
    if value >= limit:
        raise ParameterError(f"{name} is {value}, expected less than {other}, {limit}; {REMEDY}")
