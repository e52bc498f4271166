"""`ClassifyBatches` in `map_batches` of Ray Data, in actors on this machine."""

import json
from importlib.util import find_spec

import pytest

from savs import classify, extract, save_selection, select
from savs.pipeline.classifying.batch_step import ClassifyBatches

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # of Ray's
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("ray", "pyarrow", "pandas")),
        reason="ray[data] is not installed",
    ),
]


def test_actors_say_what_classify_says(inputs, tmp_path) -> None:
    import ray

    train, _ = inputs.few_shots(train=8, test=4)
    rows = [json.loads(line) | {"question": "Which?"} for line in train.read_text().splitlines()]
    file = inputs.rows("one.jsonl", rows)
    given = {"train": file, "test": file, "model": "demo", "dtype": "float32"}
    store = extract("general", out=tmp_path / "store", **given).store
    saved = save_selection(select(store, heads=4), tmp_path / "vote")
    paths = [inputs.root / row["image"] for row in rows]
    expected = classify(saved, paths).predictions
    images = [{"n": n, "image": path.read_bytes()} for n, path in enumerate(paths)]
    images.append({"n": len(paths), "image": b"no image"})
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        found = (
            ray.data.from_items(images)
            .map_batches(
                ClassifyBatches, fn_constructor_args=(str(saved),), batch_size=4, concurrency=1
            )
            .take_all()
        )
    finally:
        ray.shutdown()
    *good, bad = sorted(found, key=lambda row: row["n"])
    assert [row["prediction"] for row in good] == expected["prediction"].to_list()
    assert [row["probability"] for row in good] == pytest.approx(expected["probability"].to_list())
    assert bad["prediction"] is None
    assert bad["reason"]
