"""The benchmarks that can be read, and what is known of each."""

from collections.abc import Sequence
from typing import Annotated, Any

from savs.datasets import Benchmark
from savs.datasets.rows.examples import reading_order, sample_fields
from savs.pipeline.running.options import Option

FACTS = ("task", "metrics", "sizes", "source", "licence", "files")


def benchmarks(
    name: Annotated[str | None, Option(metavar="[NAME]")] = None,
) -> tuple[Sequence[Benchmark], Sequence[str]]:
    """Return the benchmarks, built in and installed, or one; and the problems of installed ones.

    Parameters
    ----------
    name
        A benchmark of the list, or a Python file (mine.py).
    """
    if name is not None:
        from savs.pipeline.inputs.chosen_benchmark import choose_benchmark

        return [choose_benchmark(name)], []
    from savs.datasets.benchmarks.catalogue import ADDED_BENCHMARKS, BENCHMARKS

    added, faults = ADDED_BENCHMARKS.all()
    problems = [f"left out: {fault}" for fault in faults.values()]
    return [*BENCHMARKS.values(), *(one.value for one in added.values())], problems


def benchmark_json(benchmark: Benchmark) -> dict[str, Any]:
    """Return what is known of a benchmark as JSON has it."""
    about = benchmark.about
    facts = {name: getattr(about, name) for name in FACTS} if about else {}
    sample = {"row": dict(about.sample), "examples": sample_examples(benchmark)} if about else None
    return {
        "name": benchmark.name,
        "aliases": list(benchmark.aliases),
        "summary": benchmark.summary,
        **facts,
        "columns": dict(benchmark.columns),
        "options": dict(benchmark.options),
        "sample": sample,
    }


def sample_examples(benchmark: Benchmark) -> list[dict[str, Any]]:
    """Return the examples of a benchmark's sample row."""
    return [
        {
            "prompt": fields.prompt,
            "reads": reading_order(fields),
            "label": fields.label,
            "media": list(fields.media),
            "group": fields.group,
            "subtask": fields.subtask,
            "category": fields.category,
        }
        for fields in sample_fields(benchmark)
    ]
