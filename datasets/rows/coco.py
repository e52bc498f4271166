"""COCO files of boxes: one JSON object with `images`, `annotations` and `categories`.

The format is that of https://cocodataset.org/#format-data. Its `bbox` is `[x, y, width, height]` in
pixels, often with decimals.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from savs.datasets.errors import RowError, SourceError
from savs.datasets.row import require_object

PARTS = ("images", "annotations", "categories")


def coco_rows(path: Path, values: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the fields of each annotation: `id`, `image`, `box`, `label`, `iscrowd`.

    The label is the name of the category, null without one. A box has whole pixels: all that its
    `bbox` touches.

    Raises
    ------
    SourceError
        The file has another form.
    RowError
        An annotation has no `bbox`, or an image or a category that the file lacks.
    """
    parts = values if isinstance(values, dict) else {}
    if not all(isinstance(parts.get(name), list) for name in PARTS):
        raise SourceError(
            f"{path} holds a {type(values).__name__}, expected a list of objects, or a COCO object"
            f" with the lists {', '.join(PARTS)}"
        )
    names = {
        part: {str(one.get("id")): one.get(name) for one in _objects(path, part, parts[part])}
        for part, name in (("images", "file_name"), ("categories", "name"))
    }
    for number, one in enumerate(_objects(path, "annotations", parts["annotations"])):
        where = f"{path} annotation {number}"
        if "bbox" not in one:
            raise RowError(f"{where} has no `bbox`; give a file of boxes, such as instances_*.json")
        has_category = one.get("category_id") is not None
        yield (
            where,
            {
                "id": one.get("id"),
                "image": _named(names["images"], one, "image_id", where),
                "box": corners(one["bbox"]),
                "label": _named(names["categories"], one, "category_id", where)
                if has_category
                else None,
                "iscrowd": one.get("iscrowd"),
            },
        )


def _objects(path: Path, part: str, values: list[Any]) -> Iterator[dict[str, Any]]:
    for number, value in enumerate(values):
        yield require_object(value, f"{path} {part} {number}")


def _named(names: Mapping[str, Any], annotation: Mapping[str, Any], key: str, where: str) -> str:
    identifier = annotation.get(key)
    name = names.get(str(identifier))
    if not isinstance(name, str) or not name:
        raise RowError(
            f"{where}: {key} is {identifier!r}, which the file does not name; add it, or remove the"
            " annotation"
        )
    return name


def corners(bbox: Any) -> Any:
    """Return `[x0, y0, x1, y1]` of a `[x, y, width, height]`; other values as they are.

    Examples
    --------
    >>> corners([12.5, 30, 20, 40.25]), corners([12.5, 30, 0, 5])
    ([12, 30, 33, 71], [12, 30, 12, 35])
    """
    try:
        x, y, width, height = map(float, bbox)
        left, top = math.floor(x), math.floor(y)
        right = math.ceil(x + width) if width > 0 else left
        bottom = math.ceil(y + height) if height > 0 else top
    except (TypeError, ValueError, OverflowError):
        return bbox
    return [left, top, right, bottom]
