"""`savs benchmarks`: the supported benchmarks and their prompts."""

import shutil
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs.datasets
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.output import print_json, print_line, say

if TYPE_CHECKING:
    from savs.datasets import Benchmark

EXAMPLES = ("savs benchmarks", "savs benchmarks naturalbench")
FACTS = ("task", "metrics", "sizes", "source", "licence", "files")
WIDEST = 100
"""Longest line in characters; a terminal may have fewer."""


def benchmarks_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A benchmark of the list, or a Python file (mine.py)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """With NAME: show the columns of its files, and a sample row with its exact prompt."""
    if name is not None:
        _show(_find(name), as_json=json)
        return
    from savs.datasets.benchmarks.catalogue import ADDED_BENCHMARKS

    added, problems = ADDED_BENCHMARKS.all()
    benchmarks = [*savs.datasets.BENCHMARKS.values(), *(one.value for one in added.values())]
    if json:
        print_json([_to_json(benchmark) for benchmark in benchmarks])
    else:
        for benchmark in benchmarks:
            _print_facts(benchmark)
            print_line()
        print_line("savs benchmarks NAME shows the columns of its files and a sample row's prompt")
    for problem in problems.values():
        say(f"left out: {problem}")


def _find(name: str) -> "Benchmark":
    from savs.pipeline.inputs.plugins import choose_benchmark

    try:
        return choose_benchmark(name)
    except savs.datasets.BenchmarkNotFoundError as error:
        raise typer.BadParameter(str(error)) from error


def _show(benchmark: "Benchmark", *, as_json: bool) -> None:
    if as_json:
        print_json(_to_json(benchmark))
        return
    _print_facts(benchmark)
    print_line()
    print_line("columns")
    _print_pairs(benchmark.columns)
    if benchmark.about is None:
        return
    print_line()
    print_line("sample row")
    _print_pairs(
        {
            key: "null" if value is None else repr(value) if isinstance(value, str) else str(value)
            for key, value in benchmark.about.sample.items()
        }
    )
    examples = _examples(benchmark)
    for number, example in enumerate(examples, start=1):
        print_line()
        print_line(f"example {number} of {len(examples)}" if len(examples) > 1 else "its example")
        texts = example | {"prompt": example["reads"], "media": ", ".join(example["media"])}
        for key in ("prompt", "label", "media", "group", "subtask", "category"):
            if texts[key]:
                print_line(f"    {key.ljust(8)}  {texts[key]}")


def _to_json(benchmark: "Benchmark") -> dict[str, Any]:
    about = benchmark.about
    facts = {name: getattr(about, name) for name in FACTS} if about else {}
    sample = {"row": dict(about.sample), "examples": _examples(benchmark)} if about else None
    return {
        "name": benchmark.name,
        "aliases": list(benchmark.aliases),
        "summary": benchmark.summary,
        **facts,
        "columns": dict(benchmark.columns),
        "options": dict(benchmark.options),
        "sample": sample,
    }


def _examples(benchmark: "Benchmark") -> list[dict[str, Any]]:
    from savs.datasets.rows.examples import reading_order, sample_fields

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


def _print_facts(benchmark: "Benchmark") -> None:
    print_line(f"{benchmark.name}: {benchmark.summary}")
    facts = {"also": ", ".join(benchmark.aliases)} if benchmark.aliases else {}
    if benchmark.about is not None:
        facts |= {name: getattr(benchmark.about, name) for name in FACTS}
        facts["metrics"] = "; ".join(benchmark.about.metrics)
    if facts:
        _print_pairs(facts)


def _print_pairs(pairs: Mapping[str, str]) -> None:
    """Print names and texts in two columns; long texts are wrapped and indented."""
    width = max(map(len, pairs))
    room = max(min(shutil.get_terminal_size().columns, WIDEST) - width - 6, 30)
    for name, text in pairs.items():
        first, *rest = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        print_line(f"    {name.ljust(width)}  {first}".rstrip())
        for line in rest:
            print_line(" " * (width + 6) + line)
