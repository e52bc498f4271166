"""Predictions: the best classes of each, and how a table of them is packed."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from polars.testing import assert_frame_equal

from savs import Evaluation
from savs.pipeline.targets.one import PREDICTION_SCHEMA, best_classes
from savs.pipeline.targets.target import in_schema, packed

SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.sampled_from([-2.5, -0.0, 0.0, 0.5, 1.0, 3.0]),
)


@settings(deadline=None)
@given(SCORES, st.integers(1, 6))
def test_best_first_and_of_equal_ones_the_first(scores, count):
    classes = range(scores.shape[1])
    expected = [sorted(classes, key=lambda c: (-row[c], c))[:count] for row in scores]
    assert best_classes(scores, count).tolist() == expected


@pytest.mark.parametrize("levels", [2, 5, 10_000], ids=lambda n: f"{n} levels")
def test_many_classes(levels):
    scores = np.random.default_rng(levels).integers(0, levels, (30, 500)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    assert (best_classes(scores, 20) == expected).all()


VOTES = [{"class": "cat", "score": 12.0, "soft": 0.7}, {"class": "dog", "score": 8.0, "soft": 0.3}]
ROWS = pl.DataFrame(
    {
        "id": ["test:0", "test:1"],
        "label": ["cat", None],
        "correct": [True, None],
        "margin": [4.0, None],
        "votes": [VOTES, None],
        "media": [["a.png", "b.png"], []],
    },
    schema_overrides=PREDICTION_SCHEMA,
)


def test_of_packed_predictions_a_query_reads_the_columns_that_it_names() -> None:
    parts = [packed(ROWS), packed(ROWS.with_columns(typicality=pl.lit(0.5, pl.Float32)))]
    table = in_schema(pl.concat(parts, how="diagonal_relaxed"), PREDICTION_SCHEMA)
    assert dict(table.collect_schema()) == PREDICTION_SCHEMA
    plan = table.select("label").explain()
    assert plan.count("PROJECT 1/") == len(parts)
    assert table.select("typicality").collect()["typicality"].to_list() == [None, None, 0.5, 0.5]


def test_the_predictions_of_an_evaluation_are_all_of_its_table() -> None:
    table = in_schema(packed(ROWS), PREDICTION_SCHEMA)
    found = Evaluation((), (), table, None, {}, planned=3, skipped=0, notes=())
    assert found.examples == 2
    nothing = {name: [None, None] for name in PREDICTION_SCHEMA if name not in ROWS.columns}
    expected = ROWS.with_columns(pl.DataFrame(nothing)).select(list(PREDICTION_SCHEMA))
    assert_frame_equal(found.predictions, expected.cast(PREDICTION_SCHEMA))
