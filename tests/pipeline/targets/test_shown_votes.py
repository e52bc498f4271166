"""What a person is shown of left-out examples whose folds have several readouts."""

import polars as pl
import pytest

from savs.pipeline.targets import target_named
from savs.pipeline.targets.one import PREDICTION_SCHEMA


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
