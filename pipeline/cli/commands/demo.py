"""`savs demo`: the whole pipeline on the shipped model."""

import json as json_text
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import savs
from savs.datasets.benchmarks import shapes
from savs.foundation.errors import command
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import option
from savs.pipeline.cli.output import REPORTING, print_cells, print_json, print_line, say
from savs.pipeline.demo import DEMO_CLIP_NAME, DEMO_NAME
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.model.model_options import require_extra
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.running.formatting import percent

if TYPE_CHECKING:
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.stores import FeatureStore

SEED = 2026
"""Seed of the demo's scenes; the demo model was trained on other scenes."""
BATCH_SIZE = 32
PAGE = "report.html"
HEADS = 10
TASKS = (
    *("color", "shape", "position", "exists", "relation", "group-exists", "group-binding"),
    *("which-image", "animal", "fruit", "creature"),
)
"""A few of each family; the model has never seen the labels of the last three."""

EXAMPLES = ("savs demo", "savs demo --out shapes")


def demo_command(
    out: Annotated[
        Path, option(metavar="DIR", help="Folder for the images, the store and the results.")
    ] = Path("savs-demo"),
    json: JsonOption = False,
) -> None:
    """Runs on the CPU, without network access, and ends with a page of the results."""
    from savs.pipeline.cli.head_map import draw_map
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.selection.head_map import head_map

    require_extra()
    files = _draw(out)
    say(f"wrote images of {len(TASKS)} tasks to {files.root}")
    store = _extract(files, out / "features", DEMO_NAME)
    selection = savs.select(store, heads=HEADS)
    evaluation = savs.evaluate(store, selection)
    own_answers = savs.evaluate(store, ZERO_SHOT)
    clip_store = _extract(_of_one_image(files), out / "clip-features", DEMO_CLIP_NAME)
    probe = savs.select(clip_store, readout="lda")
    others = {
        ZERO_SHOT: own_answers,
        "clip": savs.evaluate(clip_store, "captions"),
        "clip + lda": savs.evaluate(clip_store, probe),
    }
    for of, result in ((store, evaluation), (store, own_answers), (clip_store, others["clip"]),
                       (clip_store, others["clip + lda"])):  # fmt: skip
        savs.save_evaluation(result, Results(of.path).place(result.readout).folder)
    page = out / PAGE
    savs.report(store.path, out=page, media_root=files.root, title="savs demo")
    if json:
        more = {name.replace("-", "_"): result.to_json() for name, result in others.items()}
        print_json(evaluation.to_json() | more | {"store": str(store.path), "report": str(page)})
        return
    print_line("\nThe heads of the model:\n", keep="\n")
    print_line("\n".join(draw_map(head_map(store, selection), selection.target)), keep="\n")
    _print_story(evaluation, others, files.root, out)


def _extract(files: "shapes.ShapesFiles", out: Path, model: str) -> "FeatureStore":
    is_clip = model == DEMO_CLIP_NAME
    return savs.extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=model,
        out=out,
        batch_size=BATCH_SIZE,
        answers=None if is_clip else "labels",
        reporting=REPORTING,
    ).store


def _of_one_image(files: "shapes.ShapesFiles") -> "shapes.ShapesFiles":
    """Write the prompts of one image into files of their own: a dual encoder reads no others."""
    paths = []
    for path in (files.train, files.test):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        paths.append(path.with_stem(f"{path.stem}-one-image"))
        paths[-1].write_text(
            "".join(x for x in lines if len(json_text.loads(x)["images"]) == 1), "utf-8"
        )
    return shapes.ShapesFiles(files.root, *paths)


def _draw(out: Path) -> "shapes.ShapesFiles":
    """Draw the scenes; where the disk refuses, nothing is left in a folder that is new."""
    from savs.pipeline.running.output_files import disk_errors

    is_new = not out.exists()
    try:
        with disk_errors(out / "data", "another --out"):
            return shapes.write_shapes(out / "data", seed=SEED, tasks=TASKS)
    except OutputError:
        if is_new:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _print_story(
    evaluation: "Evaluation", others: "dict[str, Evaluation]", scenes: Path, out: Path
) -> None:
    store = out / "features"
    print_line(
        f"\nAccuracy (%) of {HEADS} heads, of the model's own answers to the same prompts"
        " (zero-shot),\nand of a small CLIP, by texts (clip) and by examples (clip + lda):\n",
        keep="\n",
    )
    of_others = [{m.name: m.value for m in result.metrics} for result in others.values()]
    rows = [
        [
            metric.name.removeprefix("accuracy, "),
            percent(metric.value),
            f"{percent(metric.low)} .. {percent(metric.high)}",
            *(percent(metric_values.get(metric.name)) for metric_values in of_others),
            percent(metric.chance),
        ]
        for metric in evaluation.metrics
        if metric.name not in ("accuracy", "accuracy, macro")
    ]
    print_cells(["task", "heads", "95 % interval", *others, "chance"], rows)
    print_line(
        f"""
The model has never seen the labels of animal, fruit and creature (a red shape is a "mango").
It cannot name them, but its heads separate them after 20 examples of each class.
CLIP reads no question: by texts it compares each image with the classes, or with the statement.

images and questions  {scenes}
features              {store}, {out}/clip-features
metrics, predictions  in their folders results
report                {out / PAGE}

next: {command("savs", "show", store)}
      {command("savs", "select", store, "--heads", 5)} && {command("savs", "evaluate", store)}
      savs extract general --train TRAIN.jsonl --test TEST.jsonl --model ID --out features""",
        keep="\n",
    )
