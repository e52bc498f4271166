"""Measure a demo model on fresh scenes, draw by draw, and write its card.

    python scripts/evaluate_demo_model.py --model build/demo-model --work build/demo-evaluation

A draw is a fresh benchmark: 20 training examples a class and test scenes that no training saw. The
heads' vote, the model's own answer (zero-shot) and chance come from the same pass.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

from savs import Evaluation, evaluate, extract, select
from savs.datasets.benchmarks.shapes import TASKS, write_shapes
from savs.pipeline.running.progress import Reporting

DRAWS = 5
FIRST_SEED = 9000
TEST_UNITS = 100
HEADS = (5, 10, 20)

Scores = dict[str, dict[str, list[float]]]
"""Metric -> column -> one value a draw."""


def main() -> None:
    """Run all draws and write `evaluation.json` and the card's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the model, or demo")
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes and stores")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--card", type=Path, help="write the table into this file, too")
    options = parser.parse_args()
    scores: Scores = defaultdict(lambda: defaultdict(list))
    for draw in range(options.draws):
        _measure(options.model, options.work / f"draw-{draw}", FIRST_SEED + draw, scores)
    table = _table(scores, options.draws)
    print(table)
    (options.work / "evaluation.json").write_text(json.dumps(scores, indent=1) + "\n")
    if options.card:
        options.card.write_text(table + "\n")


def _measure(model: str, folder: Path, seed: int, scores: Scores) -> None:
    files = write_shapes(folder / "data", seed=seed, test_units=TEST_UNITS)
    done = extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=model,
        out=folder / "features",
        batch_size=32,
        answers="labels",
        reporting=Reporting(print),
    )
    for heads in HEADS:
        result = evaluate(done.store, select(done.store, heads=heads))
        _add(scores, f"{heads} heads", result)
        if heads == HEADS[0]:
            for metric in result.metrics:
                scores[metric.name]["chance"].append(metric.chance)
    _add(scores, "zero-shot", evaluate(done.store, "zero-shot"))


def _add(scores: Scores, column: str, result: Evaluation) -> None:
    for metric in result.metrics:
        scores[metric.name][column].append(metric.value)


def _table(scores: Scores, draws: int) -> str:
    """Return the means over draws, and the spread at 20 heads, as a Markdown table in per cent."""
    columns = ["chance", "zero-shot", *(f"{heads} heads" for heads in HEADS)]
    lines = [
        f"| task ({draws} draws) | {' | '.join(columns)} | SD |",
        "| --- |" + " --- |" * (len(columns) + 1),
    ]
    for name, accuracies in scores.items():
        task = name.removeprefix("accuracy, ")
        if task == "macro" or name == "accuracy":
            continue  # the table is of tasks
        weak = " (weak)" if task in TASKS and TASKS[task].weak else ""
        cells = [
            f"{100 * statistics.mean(accuracies[c]):.1f}" if accuracies[c] else "-" for c in columns
        ]
        last = accuracies[columns[-1]]
        spread = f"{100 * statistics.stdev(last):.1f}" if len(last) > 1 else "-"
        lines.append(f"| {task}{weak} | {' | '.join(cells)} | {spread} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
