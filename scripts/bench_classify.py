"""Compare `savs classify` with `savs extract` and predict.py. Prints a Markdown table.

    python scripts/bench_classify.py --work build/bench-classify

The shipped model runs on one thread of the CPU, on the same drawn scenes. Times are processor
seconds of the whole command, which other work on the machine hardly changes. Each command runs with
few and with many images, in turns: the difference gives the time of an image, and the rest is the
start.

A second table is of a model of twelve layers with random weights, whole and with half of them;
`--only-depth` makes it alone.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from classify_bench.half_depth import measure_depths, print_depths

from savs import extract, save_selection, select, write_bundle
from savs.datasets.benchmarks.shapes import write_shapes
from savs.pipeline.demo import DEMO_MODEL

FEW, MANY = 60, 660
REPEATS = 3
SAVS = (sys.executable, "-P", "-m", "savs")
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process in between: a child's peak begins with that of the process that started it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took."""

    cpu_s: float
    peak_mb: float


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="new folder for what is made")
    parser.add_argument("--only-depth", action="store_true", help="the second table alone")
    arguments = parser.parse_args()
    work: Path = arguments.work
    if not arguments.only_depth:
        compare_commands(work)
    print_depths(*measure_depths(work / "twelve-layers"))


def compare_commands(work: Path) -> None:
    """Measure both commands in turns and print the first table."""
    scenes = {
        count: write_shapes(
            work / str(count), seed=1, tasks=("animal",), train_per_class=5, test_units=count
        )
        for count in (FEW, MANY)
    }
    few = scenes[FEW]
    done = extract(
        *("shapes",), train=few.train, test=few.test, model="demo", dtype="float32",
        out=work / "store",
    )  # fmt: skip
    classifier = save_selection(select(done.store), work / "classifier")
    program = write_bundle(done.store, classifier, work / "bundle").path / "predict.py"
    costs: dict[tuple[str, int], list[Cost]] = {}
    for repeat in range(REPEATS):
        for count, files in scenes.items():
            out = work / f"{count}-{repeat}"
            files_and_model = ("--train", files.train, "--test", files.test, "--model", "demo")
            images = sorted((files.root / "images" / "test").iterdir())
            commands = {
                "extract": (
                    *SAVS,
                    "extract",
                    "shapes",
                    *files_and_model,
                    "--dtype",
                    "float32",
                    "--out",
                    out,
                ),
                "classify": (*SAVS, "classify", classifier, files.test, "--out", f"{out}.csv"),
                "predict.py": (sys.executable, "-P", program, *images, "--model", DEMO_MODEL),
            }
            for name, command in commands.items():
                costs.setdefault((name, count), []).append(measure(command))
    print(f"| command | ms per image | start, s | MB, {FEW} images | MB, {MANY} images |")
    print("| --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(name for name, _ in costs):
        small, large = (min(c.cpu_s for c in costs[name, count]) for count in (FEW, MANY))
        each = (large - small) / (MANY - FEW)
        peaks = [min(c.peak_mb for c in costs[name, count]) for count in (FEW, MANY)]
        start = small - FEW * each
        print(f"| `{name}` | {1000 * each:.1f} | {start:.1f} | {peaks[0]:.0f} | {peaks[1]:.0f} |")


def measure(arguments: tuple[object, ...]) -> Cost:
    """Run a command in a process of its own, on one thread."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu_s, peak_kb = map(float, done.stdout.split())
    return Cost(cpu_s, peak_kb / 1024)


if __name__ == "__main__":
    main()
