import polars as pl
from polars.testing import assert_frame_equal

from savs.pipeline import Evaluation
from savs.pipeline.evaluation.predictions import PREDICTION_SCHEMA, in_schema, packed

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


def test_packed_predictions_are_what_was_packed() -> None:
    assert_frame_equal(packed(ROWS).collect(), ROWS)


def test_of_packed_predictions_a_query_reads_the_columns_that_it_names() -> None:
    parts = [packed(ROWS), packed(ROWS.with_columns(typicality=pl.lit(0.5, pl.Float32)))]
    table = in_schema(pl.concat(parts, how="diagonal_relaxed"))
    assert dict(table.collect_schema()) == PREDICTION_SCHEMA
    plan = table.select("label").explain()
    assert plan.count("PROJECT 1/") == len(parts)
    assert table.select("typicality").collect()["typicality"].to_list() == [None, None, 0.5, 0.5]


def test_the_predictions_of_an_evaluation_are_all_of_its_table() -> None:
    table = in_schema(packed(ROWS))
    found = Evaluation((), (), table, None, {}, planned=3, skipped=0, notes=())
    assert found.examples == 2
    nothing = {name: [None, None] for name in PREDICTION_SCHEMA if name not in ROWS.columns}
    expected = ROWS.with_columns(pl.DataFrame(nothing)).select(list(PREDICTION_SCHEMA))
    assert_frame_equal(found.predictions, expected.cast(PREDICTION_SCHEMA))
