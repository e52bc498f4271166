"""`savs benchmarks`: what can be extracted."""

from savs.datasets import BENCHMARKS
from savs.pipeline.commands.options import JsonOption
from savs.pipeline.commands.output import print_json


def benchmarks_command(json: JsonOption = False) -> None:
    """List the benchmarks and the columns that their input files have."""
    if json:
        print_json(
            [
                {"name": b.name, "summary": b.summary, "columns": dict(b.columns)}
                for b in BENCHMARKS.values()
            ]
        )
        return
    for benchmark in BENCHMARKS.values():
        print(f"{benchmark.name}: {benchmark.summary}")
        width = max(map(len, benchmark.columns))
        for column, meaning in benchmark.columns.items():
            print(f"    {column.ljust(width)}  {meaning}")
