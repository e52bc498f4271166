"""`savs benchmarks`: the supported benchmarks and their prompts."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown

if TYPE_CHECKING:
    from savs.datasets import Benchmark

WIDEST = 100
"""Longest line in characters; a terminal may have fewer."""


def show(done: "tuple[Sequence[Benchmark], Sequence[str]]", options: Options) -> Shown:
    """Word the list, or the columns and a sample row of one."""
    from savs.pipeline.inputs.benchmark_list import benchmark_json

    benchmarks, problems = done
    if options["name"] is not None:
        (one,) = benchmarks
        return Shown(facts=benchmark_json(one), data=_whole(one))
    lines = [line for one in benchmarks for line in (*_facts(one), "")]
    lines.append("savs benchmarks NAME shows the columns of its files and a sample row's prompt")
    return Shown(facts=[benchmark_json(one) for one in benchmarks], data=lines, messages=problems)


def _whole(benchmark: "Benchmark") -> list[str]:
    from savs.pipeline.inputs.benchmark_list import sample_examples

    lines = [*_facts(benchmark), "", "columns", *_pairs(benchmark.columns)]
    if benchmark.about is None:
        return lines
    cells = {
        key: "null" if value is None else repr(value) if isinstance(value, str) else str(value)
        for key, value in benchmark.about.sample.items()
    }
    lines += ["", "sample row", *_pairs(cells)]
    examples = sample_examples(benchmark)
    for number, example in enumerate(examples, start=1):
        lines.append("")
        lines.append(f"example {number} of {len(examples)}" if len(examples) > 1 else "its example")
        texts = example | {"prompt": example["reads"], "media": ", ".join(example["media"])}
        keys = ("prompt", "label", "media", "group", "subtask", "category")
        lines += [f"    {key.ljust(8)}  {texts[key]}" for key in keys if texts[key]]
    return lines


def _facts(benchmark: "Benchmark") -> list[str]:
    from savs.pipeline.inputs.benchmark_list import FACTS

    facts = {"also": ", ".join(benchmark.aliases)} if benchmark.aliases else {}
    if benchmark.about is not None:
        facts |= {name: getattr(benchmark.about, name) for name in FACTS}
        facts["metrics"] = "; ".join(benchmark.about.metrics)
    return [f"{benchmark.name}: {benchmark.summary}", *(_pairs(facts) if facts else [])]


def _pairs(texts: Mapping[str, str]) -> list[str]:
    """Return names and texts in two columns; long texts are wrapped and indented."""
    width = max(map(len, texts))
    room = max(min(shutil.get_terminal_size().columns, WIDEST) - width - 6, 30)
    lines = []
    for name, text in texts.items():
        first, *rest = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        lines.append(f"    {name.ljust(width)}  {first}".rstrip())
        lines += [" " * (width + 6) + line for line in rest]
    return lines


COMMAND = Command(
    function="savs.pipeline.inputs.benchmark_list:benchmarks",
    about="With NAME: show the columns of its files, and a sample row with its exact prompt.",
    examples=("savs benchmarks", "savs benchmarks naturalbench"),
    show=show,
)
