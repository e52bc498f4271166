"""Scenes in the files of other benchmarks.

So the readers of those formats, their groups and their metrics run on a model that can do the task,
where the real images cannot be had.
"""

import io
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.benchmarks.shapes import tasks, write_shapes
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
    """Write a Parquet file as NaturalBench's: yes/no groups, then multiple-choice ones."""
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
    """Write `<part>.jsonl` as NaturalBench-Retrieval's, and its images next to it."""
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


Row = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Rows that statements and shapes have, with images below one root."""

    root: Path
    statements: list[Row]
    """Four a group, as NaturalBench-Retrieval's: `image`, `question`, `question_id`, `label`."""
    shapes: list[Row]
    """`image`, `question` and `label`, one of four shapes."""


def draw_files(folder: Path, part: str, groups: int, each: int) -> Drawn:
    """Draw the scenes of one part, `train` or `test`."""
    path = write_retrieval(folder, groups_count=groups, part=part)
    statements = [json.loads(line) for line in path.read_text().splitlines()]
    statements = [
        row | {"image": row["image"].removeprefix("/somewhere/else/")} for row in statements
    ]
    files = write_shapes(
        folder / "shapes", seed=5, tasks=("shape",), train_per_class=each, test_units=4 * each
    )
    lines = (files.train if part == "train" else files.test).read_text().splitlines()
    shapes = [
        {"image": f"shapes/{row['images'][0]}", "question": row["question"], "label": row["label"]}
        for row in map(json.loads, lines)
    ]
    return Drawn(folder, statements, shapes)


def _told(row: Row) -> str:
    """Return what a statement says: a red circle."""
    return row["question"].removeprefix("Does this image show ").removesuffix("?")


def sugarcrepe(scenes: Drawn) -> list[Row]:
    """A true and a false caption of each image, false ones first, in two categories."""
    rows = [
        row | {"question_id": str(row["question_id"]), "split": ("add_obj", "swap_obj")[image]}
        for start in range(0, len(scenes.statements), 4)
        for image in (0, 1)
        for row in scenes.statements[start + image : start + 4 : 2]
    ]
    return sorted(rows, key=lambda row: row["label"])


def winoground(scenes: Drawn) -> list[Row]:
    """One row a group."""
    return [
        {
            "id": number,
            "image_0": four[0]["image"],
            "image_1": four[1]["image"],
            "caption_0": _told(four[0]),
            "caption_1": _told(four[2]),
            "collapsed_tag": ("Object", "Both")[number % 2],
        }
        for number, four in enumerate(_fours(scenes))
    ]


def _fours(scenes: Drawn) -> list[list[Row]]:
    rows = scenes.statements
    return [rows[start : start + 4] for start in range(0, len(rows), 4)]


def mmvp(scenes: Drawn) -> list[Row]:
    """The first statement of each group on both its images, as the official file has it."""
    return [
        {
            "Question": row["question"],
            "Options": "(a) Yes (b) No",
            "Correct Answer": {"Yes": "(a)", "No": "(b)"}[row["label"]],
            "image": row["image"],
        }
        for four in _fours(scenes)
        for row in four[:2]
    ]


def _labelled(
    image: str, text: str, label: str, names: tuple[str, str]
) -> Callable[[Drawn], list[Row]]:
    def rows(scenes: Drawn) -> list[Row]:
        return [
            {image: row["image"], text: row["question"], label: names[row["label"] == "No"]}
            for row in scenes.statements
        ]

    return rows


def lettered(scenes: Drawn) -> list[Row]:
    """The shapes, with a letter next to the class."""
    return [row | {"answer": "A"} for row in scenes.shapes]


def camerabench(scenes: Drawn) -> list[Row]:
    """Two yes/no questions that are asked of every image."""
    return [
        {
            "image": row["image"],
            "question": f"Is there a {shape} in the image?",
            "question_id": 0,
            "label": "Yes" if row["label"] == shape else "No",
        }
        for shape in ("circle", "star")
        for row in scenes.shapes
    ]


def judged_pairs(scenes: Drawn) -> list[Row]:
    """Yes and No as two answers; ids of bias and others take turns."""
    return [
        {
            "Category": "safety",
            "ID": f"{('pairs', 'memes')[place % 2]}_{place}",
            "Text": row["question"],
            "Image": row["image"],
            "Output1": "Yes",
            "Output2": "No",
            "label": {"Yes": "Output1", "No": "Output2"}[row["label"]],
        }
        for place, row in enumerate(scenes.statements)
    ]


def judged_singly(scenes: Drawn) -> list[Row]:
    """Each of the two answers by itself."""
    return [
        {
            "Category": "vqa",
            "ID_original": f"q{place}",
            "ID": f"q{place}_{answer}",
            "Text": row["question"],
            "Image": row["image"],
            "Output": answer,
            "label": "preferred" if answer == row["label"] else "non-preferred",
        }
        for place, row in enumerate(scenes.statements)
        for answer in ("Yes", "No")
    ]


def in_folders(scenes: Drawn, folder: Path) -> Path:
    """Copy the shapes into one folder a class; return the folder of the classes."""
    for place, row in enumerate(scenes.shapes):
        target = folder / row["label"] / f"{place:03d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scenes.root / row["image"], target)
    return folder


FILES: dict[str, Callable[[Drawn], list[Row]]] = {
    "sugarcrepe": sugarcrepe,
    "winoground": winoground,
    "mmvp": mmvp,
    "vlguard": _labelled("image", "instruction", "answer", ("unharmful", "harmful")),
    "MHalu": _labelled("image_path", "claim", "label", ("non-hallucination", "hallucination")),
    "vizwiz": _labelled("image", "question", "label", ("answerable", "unanswerable")),
    "eurosat": lettered,
    "pets": lettered,
    "camerabench": camerabench,
    "mrb": judged_pairs,
    "mrb_individual": judged_singly,
}
"""Name or alias -> the rows of one part."""
