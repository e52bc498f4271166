"""Rows about a part of an image: a model reads the crop, and rows of one image are one cluster."""

import json

import numpy as np
import pytest
from PIL import Image

from savs import classify, extract, open_store, save_selection, select
from savs.datasets.media.media import sha256
from savs.datasets.splits.clusters import clusters_of
from savs.stores import StoreMismatchError

QUESTION = "What is it?"
BOXES = [[20, 10, 60, 50], [0.5, 0.0, 1.0, 1.0], [30, 20, 70, 60]]
CROPS = [(16, 6, 64, 54), (45, 0, 100, 60), (26, 16, 74, 60)]
"""With 10 % on each side of an image of 100 x 60 px."""


@pytest.fixture
def rows(inputs):
    """Return four images with three boxes each, labelled in turn."""
    images = [inputs.image(f"images/{n}.png", n, (60, 100)) for n in range(4)]
    return [
        {"image": image, "box": box, "label": "ab"[n % 2]}
        for n, (image, box) in enumerate((image, box) for image in images for box in BOXES)
    ]


def cropped(inputs, rows):
    """Return the same rows with the crops as files."""
    found = []
    for n, row in enumerate(rows):
        name = f"crops/{n}.png"
        (inputs.root / "crops").mkdir(exist_ok=True)
        with Image.open(inputs.root / row["image"]) as image:
            image.crop(CROPS[n % 3]).save(inputs.root / name)
        found.append({"image": name, "label": row["label"]})
    return found


@pytest.fixture
def run(tiny_model, tmp_path):
    def go(name, **files):
        given = {"question": QUESTION, "model": str(tiny_model("qwen2_vl"))} | files
        return extract("general", out=tmp_path / name, **given)

    return go


@pytest.mark.thorough
def test_a_store_of_boxes_is_that_of_their_crops(inputs, rows, run, tiny_model, tmp_path):
    table = [row | {"box": json.dumps(row["box"])} for row in rows]
    wrong = {"image": rows[0]["image"], "box": "[0, 0, 1, 1]", "label": "a"}
    files = {"train": inputs.rows("boxes.jsonl", [*table, wrong])}
    done = run("boxes", **files)
    ours = done.store
    crops = run("crops", train=inputs.rows("crops.jsonl", cropped(inputs, rows))).store
    np.testing.assert_allclose(ours.features("train"), crops.features("train"), atol=1e-5)
    ((_, skipped, reason),) = done.skipped
    assert skipped == "boxes:12"
    assert "the box [0,0,1,1] may be pixels or shares" in reason
    assert ours.manifest.identity.processor["box_margin"] == 10
    assert "box_margin" not in crops.manifest.identity.processor
    examples = ours.examples("train")
    digest = sha256((inputs.root / rows[0]["image"]).read_bytes())
    assert examples["media"][0].to_list() == ["images/0.png#box=[20,10,60,50]"]
    assert examples["media_sha256"][1].to_list() == [f"{digest}#box=[0.5,0.0,1.0,1.0]"]
    assert clusters_of(examples).to_list() == [str(3 * (n // 3)) for n in range(12)]
    # what a classifier of boxes reads of new boxes is what it was trained on
    saved = save_selection(select(ours, heads=4), tmp_path / "saved")
    found = classify(saved, files["train"], model=str(tiny_model("qwen2_vl"))).predictions
    assert found["media"].to_list()[:12] == examples["media"].to_list()
    assert found["prediction"].null_count() == 1
    with pytest.raises(StoreMismatchError, match=r"box_margin: None in the store, 10 now"):
        run("crops", **files, append=True)


def test_the_boxes_of_an_image_are_on_one_side_of_a_draw(inputs, rows, run):
    store = run("drawn", test=inputs.rows("boxes.jsonl", rows), shots=2).store
    trained, tested = (
        {name.partition("#")[0] for media in store.examples(split)["media"] for name in media}
        for split in ("train", "test")
    )
    assert trained
    assert tested
    assert not trained & tested


def test_a_file_of_coco_is_read_as_its_boxes(inputs, rows, run):
    image = rows[0]["image"]
    boxes = [(20.25, 10.5, 39.5, 39.25), (30, 20, 40, 40)]
    coco = {
        "images": [{"id": 1, "file_name": image}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1 + n, "bbox": box}
            for n, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    path = inputs.root / "instances.json"
    path.write_text(json.dumps(coco))
    store = run("coco", train=path).store
    table = inputs.rows("boxes.jsonl", [rows[0] | {"id": "0"}, rows[2] | {"id": "1", "label": "b"}])
    other = run("table", train=table).store
    columns = ["id", "label", "media", "media_sha256"]
    assert store.examples("train").select(columns).equals(other.examples("train").select(columns))
    np.testing.assert_array_equal(store.features("train"), other.features("train"))
    assert open_store(store.path).manifest.identity == other.manifest.identity
