"""`savs demo`: the whole pipeline on the shipped model."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from savs import pipeline
from savs.datasets.benchmarks import shapes
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, print_table, progress, say
from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.requirements import require_extra
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.running.formatting import percent
from savs.pipeline.running.progress import Reporting

if TYPE_CHECKING:
    from savs.pipeline import Evaluation

SEED = 2026
"""Seed of the demo's scenes; the demo model was trained on other scenes."""
BATCH_SIZE = 32
HEADS = 10
TASKS = (
    *("color", "shape", "position", "exists", "relation", "group-exists", "group-binding"),
    *("which-image", "animal", "fruit", "creature"),
)
"""A few of each family; the model has never seen the labels of the last three."""


def demo_command(
    out: Annotated[
        Path, option(metavar="DIR", help="Folder for the images, the store and the results.")
    ] = Path("savs-demo"),
    json: JsonOption = False,
) -> None:
    """Run on the CPU, without network access."""
    from savs.pipeline.cli.head_map import draw_map
    from savs.pipeline.selection.head_map import head_map
    from savs.stores.results import results_folder

    require_extra()
    files = _draw(out)
    say(f"wrote images of {len(TASKS)} tasks to {files.root}")
    store = pipeline.extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=DEMO_NAME,
        out=out / "features",
        batch_size=BATCH_SIZE,
        dtype="float32",  # in bfloat16 rounding decides which heads win, and CPUs round differently
        answers=True,
        reporting=Reporting(say, progress),
    ).store
    selection = pipeline.select(store, heads=HEADS)
    evaluation, own_answers = pipeline.evaluate(store, selection), pipeline.zero_shot(store)
    for name, result in (("vote", evaluation), (ZERO_SHOT, own_answers)):
        pipeline.save_evaluation(result, results_folder(store.path, name))
    if json:
        own = {"zero_shot": own_answers.to_json()}
        print_json(evaluation.to_json() | own | {"store": str(store.path)})
        return
    print_line("\nThe heads of the model:\n", keep="\n")
    print_line("\n".join(draw_map(head_map(store, selection))), keep="\n")
    _print_story(evaluation, own_answers, files.root, store.path)


def _draw(out: Path) -> "shapes.ShapesFiles":
    """Draw the scenes; where the disk refuses, nothing is left in a folder that is new."""
    is_new = not out.exists()
    try:
        return shapes.write_shapes(out / "data", seed=SEED, tasks=TASKS)
    except OSError as error:
        if is_new:
            shutil.rmtree(out, ignore_errors=True)
        raise OutputError(
            f"{out / 'data'} cannot be written: {error.strerror or error}; pass another --out"
        ) from error


def _print_story(
    evaluation: "Evaluation", own_answers: "Evaluation", scenes: Path, store: Path
) -> None:
    print_line(
        f"\nAccuracy (%) of {HEADS} heads, and of the model's own answers to the same prompts:\n",
        keep="\n",
    )
    own = {metric.name: metric.value for metric in own_answers.metrics}
    rows = [
        [
            metric.name.removeprefix("accuracy, "),
            percent(metric.value),
            f"{percent(metric.low)} .. {percent(metric.high)}",
            percent(own.get(metric.name)),
            percent(metric.chance),
        ]
        for metric in evaluation.metrics
        if metric.name not in ("accuracy", "accuracy, macro")
    ]
    print_table(["task", "heads", "95 % interval", "zero-shot", "chance"], rows)
    print_line(
        f"""
The model has never seen the labels of animal, fruit and creature (a red shape is a "mango").
It cannot name them, but its heads separate them after 20 examples of each class.

images and questions  {scenes}
features              {store}
metrics, predictions  {store}/results

next: savs show {store}
      savs select {store} --heads 5 && savs evaluate {store}
      savs extract general --train TRAIN.jsonl --test TEST.jsonl --model ID --out features""",
        keep="\n",
    )
