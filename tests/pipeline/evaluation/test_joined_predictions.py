import polars as pl
from polars.testing import assert_frame_equal

from savs.pipeline.evaluation.predictions import joined


def test_parts_are_one_frame_of_whole_columns_and_are_let_go() -> None:
    parts = [pl.DataFrame({"id": [str(n)], "votes": [[n]]}) for n in range(3)]
    parts.append(pl.DataFrame({"id": ["3"], "typicality": [0.5]}))  # of a task that is calibrated
    expected = pl.concat(parts, how="diagonal")
    found = joined(parts)
    assert_frame_equal(found, expected)
    assert found.n_chunks("all") == [1, 1, 1]
    assert parts == []


def test_of_no_part_there_is_no_row() -> None:
    assert joined([]).is_empty()
