"""How many cores this process may use: by its affinity, and by the quota of its container."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
"""Lines such as `0::/kubepods/pod1`: number, controllers of version 1, path of the group."""
VERSION_1, VERSION_2 = ("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",)
"""Files of a group that have its quota and the period of that, in microseconds."""


def count_cores() -> int:
    """Return the cores that this process may use at the same time, at least 1.

    A quota of 2.5 cores counts as 2: with more processes than that, the system stops all of them
    for a part of each tenth of a second.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13, where PYTHON_CPU_COUNT overrides it
        allowed = vars(os)["process_cpu_count"]()
    elif hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count()
    return max(1, min([allowed or 1, *map(int, _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the quotas, in cores, of this process's control groups and of all above them."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root, names = (CGROUPS / "cpu", VERSION_1) if controllers else (CGROUPS, VERSION_2)
        group = root / path.lstrip("/")  # a container may see this path, and its group as the root
        for folder in (group, *group.parents[: len(group.parts) - len(root.parts)]):
            yield from _quota_of([folder / name for name in names])


def _quota_of(files: Sequence[Path]) -> Iterator[float]:
    """Yield the quota of a group in cores, if it has one."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
    except OSError:
        return
    if quota.isdecimal():  # no `max` and no -1
        yield int(quota) / int(period)
