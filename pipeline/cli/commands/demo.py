"""`savs demo`: the whole pipeline on the shipped model."""

import json as json_text
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import savs
from savs.datasets.benchmarks import shapes
from savs.foundation.errors import command
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.demo import DEMO_CLIP_NAME, DEMO_NAME
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.model.model_options import require_extra
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.running.formatting import percent
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.selection.selection import Selection
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


@dataclass(frozen=True, slots=True)
class Toured:
    """What the demo computed."""

    store: "FeatureStore"
    scenes: Path
    selection: "Selection"
    evaluation: "Evaluation"
    others: "dict[str, Evaluation]"
    """Method -> its results on the same prompts."""
    page: Path


def tour(
    out: Annotated[str | Path, Option(metavar="DIR", is_positional=False)] = "savs-demo",
    *,
    reporting: Reporting = SILENT,
) -> Toured:
    """Draw scenes, extract, select, evaluate, compare with a small CLIP, and write a page.

    Parameters
    ----------
    out
        Folder for the images, the store and the results.
    """
    from savs.pipeline.evaluation.results import Results

    require_extra()
    out = Path(out)
    files = _draw(out)
    reporting.say(f"wrote images of {len(TASKS)} tasks to {files.root}")
    store = _extract(files, out / "features", DEMO_NAME, reporting)
    selection = savs.select(store, heads=HEADS)
    evaluation = savs.evaluate(store, selection)
    own_answers = savs.evaluate(store, ZERO_SHOT)
    clip_store = _extract(_of_one_image(files), out / "clip-features", DEMO_CLIP_NAME, reporting)
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
    return Toured(store, files.root, selection, evaluation, others, page)


def show(done: Toured, options: Options) -> Shown:
    """Draw the heads, and tell what was measured."""
    from savs.pipeline.selection.head_map import draw_map, head_map

    more = {name.replace("-", "_"): result.to_json() for name, result in done.others.items()}
    facts = done.evaluation.to_json() | more
    facts |= {"store": str(done.store.path), "report": str(done.page)}
    lines = draw_map(head_map(done.store, done.selection), done.selection.target)
    data = ["\nThe heads of the model:\n", *lines, *_story(done, Path(options["out"]))]
    return Shown(facts=facts, data=data)


def _extract(
    files: "shapes.ShapesFiles", out: Path, model: str, reporting: Reporting
) -> "FeatureStore":
    is_clip = model == DEMO_CLIP_NAME
    return savs.extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=model,
        out=out,
        batch_size=BATCH_SIZE,
        answers=None if is_clip else "labels",
        reporting=reporting,
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


def _story(done: Toured, out: Path) -> "list[Table | str]":
    from savs.datasets.benchmarks.shapes.benchmark import TRAIN_PER_CLASS

    store = out / "features"
    of_others = [{m.name: m.value for m in result.metrics} for result in done.others.values()]
    rows = [
        [
            metric.name.removeprefix("accuracy, "),
            percent(metric.value),
            f"{percent(metric.low)} .. {percent(metric.high)}",
            *(percent(metric_values.get(metric.name)) for metric_values in of_others),
            percent(metric.chance),
        ]
        for metric in done.evaluation.metrics
        if metric.name not in ("accuracy", "accuracy, macro")
    ]
    header = ["task", "heads", "95 % interval", *done.others, "chance"]
    evaluate = command("savs", "evaluate", store)
    return [
        f"\nAccuracy (%) of {HEADS} heads, of the model's own answers to the same prompts"
        " (zero-shot),\nand of a small CLIP, by texts (clip) and by examples (clip + lda):\n",
        Table.of_cells(header, rows).text(),
        f"""
The model has never seen the labels of animal, fruit and creature (a red shape is a "mango").
It cannot name them, but its heads separate them after {TRAIN_PER_CLASS} examples of each class.
CLIP reads no question: by texts it compares each image with the classes, or with the statement.

images and questions  {done.scenes}
features              {store}, {out}/clip-features
metrics, predictions  in their folders results
report                {done.page}

next: {command("savs", "show", store)}
      {command("savs", "select", store, "--heads", 5)} && {evaluate}
      savs extract general --train TRAIN.jsonl --test TEST.jsonl --model ID --out features""",
    ]


COMMAND = Command(
    function="savs.pipeline.cli.commands.demo:tour",
    about="Runs on the CPU, without network access, and ends with a page of the results.",
    examples=("savs demo", "savs demo --out shapes"),
    show=show,
)
