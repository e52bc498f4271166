import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import Example, MediaFolder, RowError, Units, find_benchmark, read_examples

BENCHMARK = find_benchmark("naturalbench-retrieval")
CLASSES = {None: ["Yes", "No"]}
FOREIGN = "/home/someone/vqascore_data/naturalbench"
VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
HARD = ("accuracy", "Q-Acc", "I-Acc", "G-Acc")
OFFICIAL = ("text score (official)", "image score (official)", "group score (official)")


def group(number: int) -> list[dict[str, Any]]:
    """Four rows as the public reference's test file has them."""
    return [
        {
            "image": f"{FOREIGN}/train_{number:03d}{i}.jpg",
            "question": f"Does this image show 'caption {number}{q}'?",
            "question_id": number,
            "label": "Yes" if q == i else "No",
        }
        for q in range(2)
        for i in range(2)
    ]


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "ret.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def predicted(rows: list[dict[str, Any]], yes: list[float | None]) -> pl.DataFrame:
    """Predictions from p(Yes): Yes where it is over a half; None was skipped."""
    labels = pl.Series([row["label"] for row in rows])
    answers = [p if p is None else "Yes" if p > 0.5 else "No" for p in yes]
    found = pl.Series(answers, dtype=pl.String)
    votes = [
        p if p is None else [{"class": c, "soft": s} for c, s in (("Yes", p), ("No", 1 - p))]
        for p in yes
    ]
    return pl.DataFrame(
        {
            "label": labels,
            "prompt": [row["question"] for row in rows],
            "media": [[row["image"]] for row in rows],
            "group": [str(row["question_id"]) for row in rows],
            "subtask": pl.Series([None] * len(rows), dtype=pl.String),
            "cluster": [f"c {row['question_id']}" for row in rows],
            "prediction": found,
            "correct": (found == labels).fill_null(False),
            "votes": pl.Series(votes, dtype=VOTES),
        }
    )


def measured(predictions: pl.DataFrame) -> dict[str, float]:
    units = BENCHMARK.measure(predictions, CLASSES)
    return {u.name: sum(u.scores["score"]) / u.scores.height for u in units}


def read(path: Path, split: str = "test") -> list[Example]:
    return read_examples(BENCHMARK, path, split)


def test_a_row_is_a_pair_of_image_and_caption(tmp_path: Path) -> None:
    examples = read(written(tmp_path, group(1) + group(2)))
    assert [e.label for e in examples] == ["Yes", "No", "No", "Yes"] * 2
    assert [e.group for e in examples] == ["1"] * 4 + ["2"] * 4
    assert [e.id for e in examples] == [f"ret:{n}" for n in range(8)]
    assert examples[5] == Example(
        id="ret:5",
        split="test",
        index=5,
        label="No",
        prompt="\nDoes this image show 'caption 20'? Answer with Yes or No.",
        media=(f"{FOREIGN}/train_0021.jpg",),
        group="2",
    )


def test_the_number_of_a_training_row_is_no_group(tmp_path: Path) -> None:
    rows = [row | {"question_id": n} for n, row in enumerate(group(1))]
    assert [e.group for e in read(written(tmp_path, rows), "train")] == [None] * 4


@pytest.mark.parametrize("below", ["", "naturalbench/", "vqascore_data/naturalbench/"])
def test_images_of_someone_else_s_paths_are_found_below_the_root(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    for i in range(2):
        (tmp_path / below / f"train_001{i}.jpg").write_bytes(b"image %d" % i)
    media = MediaFolder(tmp_path)
    examples = read(written(tmp_path, group(1)))
    assert [media.read(*e.media) for e in examples] == [b"image 0", b"image 1"] * 2


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"label": "yes"}, "field 'label' is 'yes'; expected Yes or No"),
        ({"label": None}, "field 'label' is null"),
        ({"image": ""}, "field 'image' is empty"),
        ({"question": ["?"]}, "field 'question' holds a list"),
        ({"question_id": None}, "field 'question_id' is null"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    rows = group(1)
    rows[2] |= changed
    path = written(tmp_path, rows)
    with pytest.raises(RowError, match=f"^{re.escape(f'{path} line 3: {problem}')}"):
        read(path)


def test_a_row_without_a_group_is_named(tmp_path: Path) -> None:
    rows = group(1)
    del rows[3]["question_id"]
    with pytest.raises(RowError, match=r"line 4: field 'question_id' is missing; .* label$"):
        read(written(tmp_path, rows))


def test_hard_answers_and_scores_are_reported_apart() -> None:
    rows = group(1) + group(2) + group(3) + group(4)
    yes: list[float | None] = [
        *(0.9, 0.2, 0.1, 0.8),  # all right
        *(0.4, 0.2, 0.1, 0.3),  # always No, in the right order: half right; text, image and group
        *(0.9, 0.6, 0.7, 0.8),  # always Yes, in the right order
        *(0.9, 0.2, None, 0.8),  # the skipped q1i0 spoils q1, i0 and the group
    ]
    found = measured(predicted(rows, yes))
    # right: 4 + 2 + 2 + 3 of 16. Questions: 2 + 0 + 0 + 1 of 8. Images: 2 + 0 + 0 + 1 of 8.
    assert found == pytest.approx(
        dict(zip(HARD, (11 / 16, 3 / 8, 3 / 8, 1 / 4), strict=True))
        | dict(zip(OFFICIAL, (3 / 4, 3 / 4, 3 / 4), strict=True))
    )
    assert list(found) == [*HARD, *OFFICIAL]


@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 1.0])
def test_a_constant_predictor_has_half_the_answers_and_no_group(p: float) -> None:
    found = measured(predicted(group(1) + group(2), [p] * 8))
    assert found == {"accuracy": 0.5} | dict.fromkeys([*HARD[1:], *OFFICIAL], 0.0)


def test_incomplete_groups_are_left_out_and_named() -> None:
    rows = [*group(5), *group(6)[:3]]
    units: list[Units] = BENCHMARK.measure(predicted(rows, [1, 0, 0, 1, 1, 0, 0]), CLASSES)
    for unit in units[1:]:
        name = "text, image and group score" if unit.name in OFFICIAL else unit.name
        assert unit.notes == (f"{name}: incomplete groups left out: 1 (6)",)
    whole = [u for u in units if u.name in ("G-Acc", *OFFICIAL)]
    assert [u.scores.rows() for u in whole] == [[(1.0, "c 5", "all")]] * 4


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.floats(0.55, 1), st.floats(0, 0.45))
def test_a_perfect_predictor_is_right_on_every_metric(n: int, yes: float, no: float) -> None:
    rows = [row for number in range(n) for row in group(number)]
    scores: list[float | None] = [yes if row["label"] == "Yes" else no for row in rows]
    assert measured(predicted(rows, scores)) == dict.fromkeys([*HARD, *OFFICIAL], 1.0)


P = st.one_of(st.none(), st.sampled_from([0.1, 0.4, 0.6, 0.9]))


@settings(deadline=None, max_examples=30)
@given(st.lists(P, min_size=12, max_size=12), st.permutations(range(12)))
def test_the_order_of_rows_changes_nothing(yes: list[float | None], order: list[int]) -> None:
    predictions = predicted(group(1) + group(2) + group(3), yes)
    assert measured(predictions[order]) == pytest.approx(measured(predictions))
