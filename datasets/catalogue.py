"""All benchmarks by name."""

import difflib

from savs.datasets.benchmark import Benchmark
from savs.datasets.blink import BLINK
from savs.datasets.errors import BenchmarkNotFoundError
from savs.datasets.general import GENERAL
from savs.datasets.naturalbench import NATURALBENCH
from savs.datasets.naturalbench_retrieval import NATURALBENCH_RETRIEVAL
from savs.datasets.shapes import SHAPES

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (GENERAL, SHAPES, NATURALBENCH, NATURALBENCH_RETRIEVAL, BLINK)
}
"""Name -> benchmark, in the order in which `savs benchmarks` lists them."""


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of a name.

    Raises
    ------
    BenchmarkNotFoundError
        None bears it; the message lists those there are.

    Examples
    --------
    >>> find_benchmark("general").summary
    'your own images, questions and labels'
    """
    for benchmark in BENCHMARKS.values():
        if name in (benchmark.name, *benchmark.aliases):
            return benchmark
    close = difflib.get_close_matches(name, BENCHMARKS, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise BenchmarkNotFoundError(
        f"no benchmark is called {name!r}{hint}; there are: {', '.join(BENCHMARKS)}"
    )
