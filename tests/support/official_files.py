"""Scenes in the files of other benchmarks: NaturalBench, its retrieval form, BLINK.

So the readers of those formats, their groups and their metrics run on a model that can do the task,
where the real images cannot be had.
"""

import io
import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.benchmarks.shapes import tasks
from savs.datasets.benchmarks.shapes.scenes import Scene, draw
from savs.datasets.benchmarks.shapes.tasks import IMAGE_SHOWS, LETTER, Ask, Item, drawer

BLINK_TASKS: dict[str, Ask] = {
    "Which_Image": tasks.which_image,
    "Third_Image": tasks.third_image,
    "Object_Option": tasks.option,
}
"""Name of a configuration -> what it asks."""
_IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})


def write_naturalbench(path: Path, *, groups_each: int, seed: int = 0, part: str = "test") -> Path:
    """Write a Parquet file as NaturalBench's: yes/no groups, then multiple-choice ones.

    Parameters
    ----------
    path
        The file; its folder is made if it is not there.
    groups_each
        Groups of each kind of question.
    seed
        Of everything random.
    part
        Which scenes may be used, see `Scene.part`.
    """
    rng = random.Random(f"savs shapes naturalbench {seed} {part}")
    rows = []
    for kind in ("yes_no", "multiple_choice"):
        for unit in _units(rng, tasks.group_exists, part, groups_each):
            rows.append(_naturalbench_row(len(rows), kind, unit))
    schema: dict[str, Any] = {f"Image_{i}": _IMAGE for i in range(2)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema_overrides=schema).write_parquet(path)
    return path


def _naturalbench_row(number: int, kind: str, unit: tuple[Item, ...]) -> dict[str, Any]:
    """Return a group; a multiple-choice question names one statement as A and the other as B."""
    images = [unit[0].scenes[0], unit[1].scenes[0]]
    shown = [_statement(unit[0]), _statement(unit[2])]
    questions, answers = [f"{IMAGE_SHOWS}{text}? " for text in shown], ("Yes", "No")
    if kind == "multiple_choice":
        kinds = [text.removeprefix("a ") for text in shown]
        options = [kinds, kinds[::-1]]
        questions = [f"Which object is in the image? (A) {a} (B) {b} " for a, b in options]
        answers = ("A", "B")
    row: dict[str, Any] = {"Index": number, "Question_Type": kind, "Source": "shapes"}
    for i in range(2):
        row[f"Image_{i}"] = {"bytes": _png(images[i]), "path": f"{number}_{i}.png"}
        row[f"Question_{i}"] = questions[i]
    for q in range(2):
        for i in range(2):
            row[f"Image_{i}_Question_{q}"] = answers[q != i]
    return row


def write_retrieval(folder: Path, *, groups_count: int, seed: int = 0, part: str = "test") -> Path:
    """Write `<part>.jsonl` as NaturalBench-Retrieval's, and its images beside it."""
    rng = random.Random(f"savs shapes retrieval {seed} {part}")
    rows = []
    for number, unit in enumerate(_units(rng, tasks.group_exists, part, groups_count)):
        names = [f"images/{part}_{number:05d}_{i}.png" for i in range(2)]
        for i, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(_png(unit[i].scenes[0]))
        for place, item in enumerate(unit):
            rows.append(
                {
                    "image": f"/somewhere/else/{names[place % 2]}",
                    "question": f"{IMAGE_SHOWS}{_statement(item)}?",
                    "question_id": number + 1,
                    "label": item.label,
                }
            )
    path = folder / f"{part}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_blink(folder: Path, *, rows_each: int, seed: int = 0, split: str = "val") -> Path:
    """Write a folder a configuration with one Parquet file each, as BLINK's; `test` hides answers.

    Both splits are drawn from the benchmark's test scenes. Returns the folder.
    """
    for task, ask in BLINK_TASKS.items():
        rng = random.Random(f"savs shapes blink {seed} {split} {task}")
        rows = [
            _blink_row(f"{split}_{task}_{number + 1}", task, unit[0])
            for number, unit in enumerate(_units(rng, ask, "test", rows_each))
        ]
        if split == "test":
            rows = [row | {"answer": "hidden"} for row in rows]
        path = folder / task / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        schema: dict[str, Any] = {f"image_{n}": _IMAGE for n in range(1, 5)}
        pl.DataFrame(rows, schema_overrides=schema).write_parquet(path)
    return folder


def _blink_row(idx: str, task: str, item: Item) -> dict[str, Any]:
    images: Mapping[str, Any] = {
        f"image_{n}": {"bytes": _png(item.scenes[n - 1]), "path": f"{idx}_{n}.png"}
        if n <= len(item.scenes)
        else None
        for n in range(1, 5)
    }
    question = item.question.split(" (A)", 1)[0]
    options = re.split(r" \([A-C]\) ", item.question.removesuffix(LETTER))[1:]
    return {
        "idx": idx,
        "question": question,
        "sub_task": task,
        **images,
        "choices": options,
        "answer": f"({item.label})",
        "prompt": item.question,
        "explanation": None,
    }


def write_blink_json(folder: Path, *, rows: int, seed: int = 0, part: str = "test") -> Path:
    """Write `<part>.json` of one task in the form of the public reference, images beside it."""
    rng = random.Random(f"savs shapes blink json {seed} {part}")
    found = []
    for number, (item,) in enumerate(_units(rng, tasks.which_image, part, rows)):
        names = [f"{part}_{number}_{place}.png" for place in range(len(item.scenes))]
        folder.mkdir(parents=True, exist_ok=True)
        for name, scene in zip(names, item.scenes, strict=True):
            (folder / name).write_bytes(_png(scene))
        found.append(
            {
                "question": "<image>" * len(names) + item.question,
                "label": f"({item.label})",
                **{f"image_{n + 1}": names[n] if n < len(names) else None for n in range(4)},
            }
        )
    path = folder / f"{part}.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def scored(savs, store, *more):
    """Run `evaluate`; return what metrics.json holds, its metrics by name, and the predictions."""
    done = savs("evaluate", store, *more, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    written = json.loads(Path(facts["metrics_file"]).read_text())
    metrics = {metric["name"]: metric for metric in written["metrics"]}
    return written, metrics, pl.read_parquet(facts["predictions_file"])


def _units(rng: random.Random, ask: Ask, part: str, count: int) -> Iterator[tuple[Item, ...]]:
    done = 0
    while done < count:
        unit = ask(rng, drawer(rng, part=part))
        if unit:
            done += 1
            yield unit


def _statement(item: Item) -> str:
    return item.question.removeprefix(IMAGE_SHOWS).split("?", 1)[0]


def _png(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    draw(scene).save(buffer, "PNG")
    return buffer.getvalue()
