"""Any query of a lazy table gives what it gives of the frames in memory."""

import polars as pl
import pytest

from savs.foundation.lazy_frames import lazy_frames

SCHEMA = {"a": pl.Int64(), "b": pl.String()}
FRAMES = [
    pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]}, schema=SCHEMA),
    pl.DataFrame(schema=SCHEMA),
    pl.DataFrame({"a": [4, 5], "b": ["y", "x"]}, schema=SCHEMA),
]
QUERIES = {
    "all": lambda t: t,
    "a column": lambda t: t.select("b"),
    "some rows": lambda t: t.filter(pl.col("b") == "x"),
    "rows by a column that is not kept": lambda t: t.filter(pl.col("b") == "x").select("a"),
    "the first rows": lambda t: t.head(4),
    "the first rows of some": lambda t: t.head(4).filter(pl.col("b") == "x"),
    "no row": lambda t: t.head(0),
    "a count": lambda t: t.select(pl.len()),
    "a cross join": lambda t: t.join(t.select("a"), how="cross").select(pl.len()),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_gives_what_it_gives_in_memory(query):
    table = lazy_frames(lambda: FRAMES, SCHEMA, "test")
    expected = query(pl.concat(FRAMES).lazy()).collect()
    assert query(table).collect().equals(expected)


def test_frames_behind_the_wanted_rows_are_not_made():
    made = []

    def frames():
        for frame in FRAMES:
            made.append(frame.height)
            yield frame

    assert lazy_frames(frames, SCHEMA, "test").head(3).collect().height == 3
    assert made == [3]
