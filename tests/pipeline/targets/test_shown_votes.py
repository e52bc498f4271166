"""What a person is shown of left-out examples whose folds have several readouts."""

import numpy as np
import polars as pl
import pytest
from number_stores import make_numbers

import savs
from savs.pipeline.targets import target_named
from savs.pipeline.targets.one import PREDICTION_SCHEMA
from savs.pipeline.targets.target import SEEN, scores_of_seen
from stores import make_store


def left_out(*scores: tuple[float, float]) -> pl.DataFrame:
    rows = [
        {
            "id": str(number),
            "label": "cat",
            "prediction": "cat",
            "correct": True,
            "margin": cat - dog,
            "votes": [
                {"class": "cat", "score": cat, "soft": cat},
                {"class": "dog", "score": dog, "soft": dog},
            ],
        }
        for number, (cat, dog) in enumerate(scores)
    ]
    return pl.DataFrame(rows, schema=PREDICTION_SCHEMA)


def told(predictions: pl.DataFrame) -> list[tuple[float, list[str]]]:
    target = target_named("one")
    ranked = target.ranked(predictions, {})
    return [
        (row["margin"], [share.text for share in target.shown(row, {}).shares])
        for row in ranked.iter_rows(named=True)
    ]


def test_votes_of_some_folds_are_shares_where_others_have_probabilities():
    (votes, of_votes), (probability, _) = told(left_out((14, 6), (0.75, 0.25)))
    assert (votes, probability) == pytest.approx((0.4, 0.5))
    assert of_votes == ["70 %", "30 %"]  # as the heads voted, whatever the temperature


def test_votes_of_all_folds_are_counted():
    assert told(left_out((14, 6), (11, 9))) == [
        (8, ["14 of 20", "6 of 20"]),
        (2, ["11 of 20", "9 of 20"]),
    ]


def test_classes_without_a_vote_are_not_printed():
    votes = next(c for c in target_named("one").new_columns(left_out()) if c.heading == "votes")
    of_two = [{"class": "cat", "score": 20.0}, {"class": "dog", "score": 0.0}]
    assert votes.show(of_two) == "cat 20"


def test_marks_say_what_is_doubtful():
    marks = next(c for c in target_named("one").new_columns(left_out()) if c.heading == "marks")
    assert marks.show(True, ["cat", "dog"], True, 0.5) == "unsure (cat, dog), atypical (0.500)"
    assert marks.show(True, [], None, None) == "unsure (no class)"
    assert marks.show(False, ["cat"], False, 0.5) == marks.show(None, None, None, None) == ""


def test_a_wrong_prediction_leads_its_label_or_else_the_last_class_that_is_kept():
    kept = [
        {"class": name, "score": s, "soft": s} for name, s in zip("pqr", (9, 7, 2), strict=True)
    ]
    rows = left_out(*[(9, 7)] * 3).with_columns(
        label=pl.Series(["q", "gone", "p"]),
        prediction=pl.lit("p"),
        correct=pl.Series([False, False, True]),
        votes=pl.Series([kept] * 3, dtype=PREDICTION_SCHEMA["votes"]),
    )
    (found,) = target_named("one").contradicted(None, rows)
    assert found.select("label", "margin").rows() == [("q", 2), ("gone", 7)]


@pytest.mark.parametrize("kind", ["one", "regression"])
def test_scores_must_give_the_margins_and_the_predictions_that_are_known(tmp_path, kind):
    if kind == "one":
        values = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("f4")
        store = make_store(tmp_path / "s", values, list("abab" * 2), values, list("abab" * 2))
    else:
        store = make_numbers(tmp_path / "s")[0]
    selection = savs.select(store, heads=2, readout="lda" if kind == "one" else "ridge")
    (task,) = selection.tasks
    known = savs.evaluate(store, selection).predictions
    width = max(selection.widths()[head] for head in task.heads)
    scores = task.fitted.scores(store.features("test", task.heads)[:, :, :width])
    target = selection.target
    assert target.gives(task, scores, known)
    if kind == "one":
        other = known["prediction"].replace({"a": "b", "b": "a"})
        assert not target.gives(task, scores, known.with_columns(prediction=other))
        assert not target.gives(task, scores, known.with_columns(pl.col("margin") + 0.01))
        assert not target.gives(task, scores, known.with_columns(margin=pl.lit(None, pl.Float32)))
    else:
        assert not target.gives(task, scores, known.with_columns(pl.col("value") + 1))


def test_of_many_examples_of_a_fit_every_nth_is_seen(tmp_path):
    count = 2 * SEEN + 2
    values = np.random.default_rng(0).normal(size=(1, count, 3)).astype("f4")
    labels = list("ab" * (count // 2))
    store = make_store(tmp_path / "s", values, labels, values[:, :2], labels[:2], shard_rows=2000)
    fitted = savs.select(store, heads=1, readout="lda").tasks[0].fitted
    seen = scores_of_seen(fitted, values).soft
    assert seen == pytest.approx(fitted.scores(values).soft[::3])
