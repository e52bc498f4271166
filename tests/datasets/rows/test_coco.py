"""COCO files of boxes as rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from savs.datasets import RowError, SourceError
from savs.datasets.rows.coco import corners
from savs.datasets.rows.file_formats import read_rows

IMAGES = [{"id": 7, "file_name": "val/a.jpg"}, {"id": 9, "file_name": "b.jpg"}]
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 18, "name": "dog"}]
ANNOTATIONS = [
    {"id": 5, "image_id": 9, "category_id": 18, "bbox": [10, 20, 30, 40], "iscrowd": 0},
    {"id": 3, "image_id": 7, "category_id": 0, "bbox": [0.4, 1.5, 2.0, 3.25], "iscrowd": 1},
    {"id": 4, "image_id": 7, "bbox": [1, 2, 0, 3]},
]


def coco(folder: Path, **parts: Any) -> Path:
    whole = {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES} | parts
    path = folder / "instances.json"
    path.write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))
    return path


def test_an_annotation_is_a_row_whose_box_has_corners(tmp_path) -> None:
    rows = read_rows(coco(tmp_path))
    assert [row.values for row in rows] == [
        {"id": 5, "image": "b.jpg", "box": [10, 20, 40, 60], "label": "dog", "iscrowd": 0},
        # 0.4 .. 2.4 touches pixels 0, 1 and 2; 1.5 .. 4.75 those from 1 to 4
        {"id": 3, "image": "val/a.jpg", "box": [0, 1, 3, 5], "label": "cat", "iscrowd": 1},
        {"id": 4, "image": "val/a.jpg", "box": [1, 2, 1, 5], "label": None, "iscrowd": None},
    ]
    assert rows[1].where == f"{tmp_path / 'instances.json'} annotation 1"


def test_the_rows_of_a_file_without_annotations_are_none(tmp_path) -> None:
    with pytest.raises(SourceError, match="holds no rows"):
        read_rows(coco(tmp_path, annotations=[]))


@pytest.mark.parametrize("bbox", [[1, 2, 3], None, "text", [1, 2, "x", 3], 5, [1, 2, 1e400, 3]])
def test_what_is_no_bbox_stays_as_it_is(bbox) -> None:
    assert corners(bbox) == bbox


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"categories": None}, SourceError, "holds a dict, expected a list of objects, or a COCO"),
        ({"images": {}}, SourceError, "with the lists images, annotations, categories"),
        ({"images": [1]}, RowError, r"images 0 holds a int, expected an object"),
        ({"annotations": ["x"]}, RowError, r"annotations 0 holds a str, expected an object"),
        (
            {"annotations": [{"image_id": 7, "caption": "a cat"}]},
            RowError,
            r"annotation 0 has no `bbox`; give a file of boxes",
        ),
        (
            {"annotations": [{"image_id": 8, "bbox": [1, 2, 3, 4]}]},
            RowError,
            r"annotation 0: image_id is 8, which the file does not name",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]}]},
            RowError,
            r"annotation 0: category_id is 2, which the file does not name",
        ),
        (
            {
                "annotations": [{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]}],
                "categories": [{"id": 2, "name": ""}],
            },
            RowError,
            r"annotation 0: category_id is 2, which the file does not name",
        ),
        (
            {"images": [{"id": 9}]},
            RowError,
            r"annotation 0: image_id is 9, which the file does not name",
        ),
    ],
)
def test_a_fault_names_its_place(tmp_path, parts, error, message) -> None:
    with pytest.raises(error, match=message):
        read_rows(coco(tmp_path, **parts))
