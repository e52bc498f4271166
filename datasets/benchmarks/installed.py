"""Benchmarks of packages that are installed: entry points of the group `savs.benchmarks`."""

import importlib.metadata
import json
from collections.abc import Collection
from dataclasses import dataclass

from savs.datasets.benchmark import Benchmark

GROUP = "savs.benchmarks"


@dataclass(frozen=True, slots=True)
class Installed:
    """Result of loading the entry points."""

    benchmarks: dict[str, Benchmark]
    """Name -> benchmark, in the order of the entry points' names."""
    problems: dict[str, str]
    """Name of an entry point without a usable benchmark -> why, in one line."""


def load_installed(taken: Collection[str]) -> Installed:
    """Import the benchmarks of installed packages; a failure becomes a problem, not an error.

    Parameters
    ----------
    taken
        Names and aliases that an installed benchmark must not have.
    """
    found = Installed({}, {})
    names = set(taken)
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name):
        where = f"the entry point {point.name} = {point.value} of the group {GROUP}"
        try:
            benchmark = point.load()
        except (Exception, SystemExit) as error:  # whatever the package does
            text = " ".join(f"{type(error).__name__}: {error}".split())
            found.problems[point.name] = f"{where} cannot be loaded ({text}); fix the package"
            continue
        problem = name_problem(benchmark, names)
        if problem:
            found.problems[point.name] = f"{where} {problem}"
            continue
        found.benchmarks[benchmark.name] = benchmark
        names.update((benchmark.name, *benchmark.aliases))
    return found


def name_problem(value: object, taken: Collection[str]) -> str | None:
    """Return why a value is not a benchmark with a free name, or None if it is one."""
    if not isinstance(value, Benchmark):
        return f"is a {type(value).__name__}, expected a savs.datasets.Benchmark"
    for name in (value.name, *value.aliases):
        if not isinstance(name, str) or not name or name.endswith(".py"):
            return f"has the name {name!r}, expected text that does not end in .py"
        if name in taken:
            return f"has the name {name!r}, which is taken; choose another"
    try:
        json.dumps(dict(value.options))
    except (TypeError, ValueError) as error:
        return f"has options that JSON cannot hold ({error}); a store keeps them as JSON"
    return None
