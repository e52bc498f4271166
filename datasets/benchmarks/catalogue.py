"""All benchmarks by name."""

import difflib

from savs.datasets.benchmark import Benchmark
from savs.datasets.benchmarks.blink import BLINK
from savs.datasets.benchmarks.camerabench import CAMERABENCH
from savs.datasets.benchmarks.eurosat import EUROSAT
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.benchmarks.image_folder import IMAGE_FOLDER
from savs.datasets.benchmarks.installed import Installed, load_installed
from savs.datasets.benchmarks.mhalubench import MHALUBENCH
from savs.datasets.benchmarks.mmvp import MMVP
from savs.datasets.benchmarks.multimodal_rewardbench import MULTIMODAL_REWARDBENCH
from savs.datasets.benchmarks.naturalbench import NATURALBENCH
from savs.datasets.benchmarks.naturalbench_retrieval import NATURALBENCH_RETRIEVAL
from savs.datasets.benchmarks.pets import PETS
from savs.datasets.benchmarks.shapes import SHAPES
from savs.datasets.benchmarks.sugarcrepe import SUGARCREPE
from savs.datasets.benchmarks.vizwiz import VIZWIZ
from savs.datasets.benchmarks.vlguard import VLGUARD
from savs.datasets.benchmarks.winoground import WINOGROUND
from savs.datasets.errors import BenchmarkNotFoundError

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        GENERAL,
        SHAPES,
        NATURALBENCH,
        NATURALBENCH_RETRIEVAL,
        BLINK,
        SUGARCREPE,
        WINOGROUND,
        MMVP,
        VLGUARD,
        MHALUBENCH,
        VIZWIZ,
        EUROSAT,
        PETS,
        CAMERABENCH,
        MULTIMODAL_REWARDBENCH,
        IMAGE_FOLDER,
    )
}
"""Name -> benchmark, in the order in which `savs benchmarks` lists them."""


def known_names() -> set[str]:
    """Return the names and aliases of the built-in benchmarks."""
    return {name for b in BENCHMARKS.values() for name in (b.name, *b.aliases)}


def installed_benchmarks() -> Installed:
    """Return the benchmarks of installed packages, and why others cannot be loaded."""
    return load_installed(known_names())


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark with a name or alias, built in or of an installed package.

    Raises
    ------
    BenchmarkNotFoundError
        No benchmark has it; the message lists the known names.

    Examples
    --------
    >>> find_benchmark("general").summary
    'your own images, questions and labels'
    """
    for benchmark in BENCHMARKS.values():
        if name in (benchmark.name, *benchmark.aliases):
            return benchmark
    installed = installed_benchmarks()
    for benchmark in installed.benchmarks.values():
        if name in (benchmark.name, *benchmark.aliases):
            return benchmark
    if name in installed.problems:
        raise BenchmarkNotFoundError(installed.problems[name])
    there = [*BENCHMARKS, *installed.benchmarks]
    close = difflib.get_close_matches(name, there, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise BenchmarkNotFoundError(
        f"no benchmark is called {name!r}{hint}; expected one of: {', '.join(there)}, or the path"
        " of a Python file that defines BENCHMARK"
    )
