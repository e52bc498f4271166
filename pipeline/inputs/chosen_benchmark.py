"""Benchmarks: by name, or by the path of a Python file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from savs.datasets import Benchmark, BenchmarkNotFoundError, find_benchmark
from savs.datasets.benchmarks.catalogue import benchmark_problem
from savs.datasets.benchmarks.options import adapt, as_stored
from savs.datasets.rows.label_kinds import A_CLASS_EACH, Labels
from savs.pipeline.errors import OwnCodeError
from savs.pipeline.running.user_files import load_file
from savs.stores import FeatureStore
from savs.stores.format.layout import digest

CONSTANT = "BENCHMARK"


def choose_benchmark(
    benchmark: str | Path | Benchmark,
    columns: Mapping[str, str] | None = None,
    question: str | Sequence[str] | None = None,
    labels: Labels = A_CLASS_EACH,
) -> Benchmark:
    """Return the benchmark of a name, that of a Python file, or the one given.

    `columns`, `question` and `labels` are what is chosen where the benchmark leaves a choice, see
    `configuration`.

    BenchmarkNotFoundError if none bears this name; OptionError if it leaves no such choice;
    OwnCodeError if the file is not there, fails when it runs, or has no benchmark that can be
    taken.
    """
    return adapt(_benchmark_of(benchmark), columns, question, labels)


def _benchmark_of(benchmark: str | Path | Benchmark) -> Benchmark:
    if isinstance(benchmark, Benchmark):
        return benchmark
    if not str(benchmark).endswith(".py"):
        return find_benchmark(str(benchmark))
    module = load_file(benchmark, "benchmark")
    if not hasattr(module, CONSTANT):
        raise OwnCodeError(
            f"{benchmark} defines no {CONSTANT}; docs/guide/own-benchmark.md has an example"
        )
    constant = getattr(module, CONSTANT)
    problem = benchmark_problem(constant)
    if problem:
        raise OwnCodeError(f"{benchmark}: its {CONSTANT} {problem}")
    return constant


def stored_benchmark(
    store: FeatureStore, benchmark: str | Path | Benchmark | None = None
) -> Benchmark:
    """Return the benchmark of a store, which must be given if savs cannot find it.

    BenchmarkNotFoundError if it is not known here, or another one was given.
    """
    facts = store.manifest.identity.benchmark
    name = str(facts["name"])
    if benchmark is None:
        try:
            return as_stored(find_benchmark(name), facts)
        except BenchmarkNotFoundError as error:
            raise BenchmarkNotFoundError(
                f"{store.path} was extracted with the benchmark {name!r}, which is not installed"
                " here; pass its Python file as `benchmark`"
            ) from error
    chosen = as_stored(choose_benchmark(benchmark), facts)
    if chosen.name != name:
        raise BenchmarkNotFoundError(
            f"{store.path} was extracted with the benchmark {name!r}, not {chosen.name!r}; pass"
            " that one as `benchmark`"
        )
    is_file = not isinstance(benchmark, Benchmark) and str(benchmark).endswith(".py")
    if is_file and digest(dict(chosen.options)) != digest(dict(facts.get("options", {}))):
        raise BenchmarkNotFoundError(
            f"{store.path} was extracted with the options {facts.get('options', {})!r} of the"
            f" benchmark {name!r}, but {benchmark} has {dict(chosen.options)!r}; pass the"
            " version of the file that was used, as `benchmark`"
        )
    return chosen
