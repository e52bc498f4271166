"""Drawn scenes in the files of the benchmarks: the demo model can do what they ask."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from official_files import write_retrieval

from savs.datasets.benchmarks.shapes import write_shapes

Row = dict[str, Any]


@dataclass(frozen=True)
class Scenes:
    """Rows that statements and shapes have, with images below one root."""

    root: Path
    statements: list[Row]
    """Four a group, as NaturalBench-Retrieval's: `image`, `question`, `question_id`, `label`."""
    shapes: list[Row]
    """`image`, `question` and `label`, one of four shapes."""


def draw(folder: Path, part: str, groups: int, each: int) -> Scenes:
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
    return Scenes(folder, statements, shapes)


def _told(row: Row) -> str:
    """Return what a statement says: a red circle."""
    return row["question"].removeprefix("Does this image show ").removesuffix("?")


def sugarcrepe(scenes: Scenes) -> list[Row]:
    """A true and a false caption of each image, false ones first, in two categories."""
    rows = [
        row | {"question_id": str(row["question_id"]), "split": ("add_obj", "swap_obj")[image]}
        for start in range(0, len(scenes.statements), 4)
        for image in (0, 1)
        for row in scenes.statements[start + image : start + 4 : 2]
    ]
    return sorted(rows, key=lambda row: row["label"])


def winoground(scenes: Scenes) -> list[Row]:
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


def _fours(scenes: Scenes) -> list[list[Row]]:
    rows = scenes.statements
    return [rows[start : start + 4] for start in range(0, len(rows), 4)]


def mmvp(scenes: Scenes) -> list[Row]:
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
) -> Callable[[Scenes], list[Row]]:
    def rows(scenes: Scenes) -> list[Row]:
        return [
            {image: row["image"], text: row["question"], label: names[row["label"] == "No"]}
            for row in scenes.statements
        ]

    return rows


def lettered(scenes: Scenes) -> list[Row]:
    """The shapes, with a letter beside the class."""
    return [row | {"answer": "A"} for row in scenes.shapes]


def camerabench(scenes: Scenes) -> list[Row]:
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


def judged_pairs(scenes: Scenes) -> list[Row]:
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


def judged_singly(scenes: Scenes) -> list[Row]:
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


def in_folders(scenes: Scenes, folder: Path) -> Path:
    """Copy the shapes into one folder a class; return the folder of the classes."""
    for place, row in enumerate(scenes.shapes):
        target = folder / row["label"] / f"{place:03d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scenes.root / row["image"], target)
    return folder


FILES: dict[str, Callable[[Scenes], list[Row]]] = {
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
