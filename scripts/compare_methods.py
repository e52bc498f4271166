"""Compare all methods on drawn scenes and real images: the table of docs/results/accuracy.md.

    python scripts/compare_methods.py --work build/compare

Each draw is another training set of 20 examples a class; the 100 test questions of a task are the
same. Results that are there are kept, so that a run that was stopped goes on. Written next to them:
table.csv, with all numbers, and commands.sh, the commands that make each result again.
Needs `pip install peft scikit-image`; without the second, leave out the task surface.

    python scripts/compare_methods.py --sites --work build/sites

compares heads with other sites of the demo model and a small CLIP instead, on the same draws from
one pool, and prints four tables. Beside them: sites.tex, sites.csv and sites.svg. Needs
`pip install scikit-image elpv-dataset`, or leave out the tasks surface and cell.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from method_comparison import sites
from method_comparison.methods import METHODS
from method_comparison.table import as_frame, as_markdown, cells
from method_comparison.tasks import Draw, write_task

from savs.foundation.errors import SavsError
from savs.pipeline.reports.report.curves import draw_figure

TASKS = ("relation", "animal", "creature", "surface", "digit")
SITE_TASKS = ("relation", "composition", "concept", "animal", "creature", *TASKS[3:], "cell")
SEED = 2026


def main() -> None:
    """Draw, run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for files and stores")
    parser.add_argument("--sites", action="store_true", help="compare sites, not methods")
    parser.add_argument("--tasks", help="tasks, joined by commas")
    parser.add_argument("--draws", type=int, default=10, help="training sets of each task")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first draw")
    options = parser.parse_args()
    if options.draws < 1:
        parser.error(f"--draws is {options.draws}, expected at least 1")
    work, usual = options.work, SITE_TASKS if options.sites else TASKS
    tasks = options.tasks.split(",") if options.tasks else usual
    if options.sites:
        _compare_sites(tasks, work, options.draws, options.seed)
        return
    if find_spec("peft") is None:
        sys.exit("error: LoRA needs peft; run `pip install peft`")
    try:
        drawn = {
            task: write_task(task, work / "data" / task, options.draws, options.seed)
            for task in tasks
        }
    except SavsError as error:
        sys.exit(f"error: {error}")
    for number in range(options.draws):  # all tasks of a draw first: a stopped run has whole draws
        for task, draws in drawn.items():
            for method in METHODS:
                if number == 0 or method.learns:
                    folder = work / "runs" / task / f"draw-{number}" / method.name
                    method.run(draws[number], folder, number)
            print(f"draw {number}, {task}: done", file=sys.stderr, flush=True)
    (work / "commands.sh").write_text(_commands(drawn, work))
    rows = cells(work / "runs", {t: _rows(draws[0]) for t, draws in drawn.items()}, options.draws)
    as_frame(rows).write_csv(work / "table.csv")
    print(as_markdown(rows))


def _compare_sites(tasks: Sequence[str], work: Path, draws: int, seed: int) -> None:
    """Print the tables of sites, and write them for LaTeX, with all numbers and the figure."""
    measured = {}
    for task in tasks:
        (files,) = write_task(task, work / "data" / task, 1, seed, shots=sites.POOL)
        measured[task] = sites.measure(files, work / "stores" / task, draws, seed)
        print(f"{task}: done", file=sys.stderr, flush=True)
    tables, means = sites.tables(measured), sites.over_tasks(measured)
    (work / "sites.tex").write_text("\n".join(table.latex() for table in tables))
    sites.all_rows(measured).write_csv(work / "sites.csv")
    by_shots = means[sites.READOUTS[0]].with_columns(
        pl.col("readout").str.split(":").list.first(), low=None, high=None
    )
    draw_figure(work / "sites.svg", by_shots, f"mean accuracy of {len(tasks)} tasks")
    print("\n".join(table.markdown() for table in tables))


def _commands(drawn: dict[str, list[Draw]], work: Path) -> str:
    """Return the commands of every result; they write into a folder of their own."""
    lines = ["set -euo pipefail"]
    for task, draws in drawn.items():
        for number, files in enumerate(draws):
            for method in METHODS:
                if number == 0 or method.learns:
                    end = Path(task, f"draw-{number}", method.name)
                    lines.append(f"\n# {task}, draw {number}, {method.name}")
                    lines += method.commands(
                        files, work / "again" / end, number, work / "runs" / end
                    )
    return "\n".join(lines) + "\n"


def _rows(files: Draw) -> int:
    """Return the training examples of a draw."""
    return sum(bool(json.loads(line)) for line in files.train.read_text().splitlines())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: what is finished stays; run the same command again", file=sys.stderr)
        sys.exit(130)
