from collections.abc import Iterator

import pytest

from savs.foundation.progress import listen, track

said: list[tuple[str, int, int]] = []


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Note what is reported while a test runs."""
    said.clear()
    listen(lambda *what: said.append(what))
    yield
    listen(None)


def test_loops_inside_are_part_of_the_outer_one_and_the_next_one_is_reported_again() -> None:
    for _ in track("ab", "stores"):
        assert [*track("xyz", "shards")] == ["x", "y", "z"]
    assert said == [("stores", 0, 2), ("stores", 1, 2), ("stores", 2, 2)]
    said.clear()
    assert [*track(iter("xy"), "shards", 2)] == ["x", "y"]
    assert said == [("shards", 0, 2), ("shards", 1, 2), ("shards", 2, 2)]


def test_work_that_ended_early_hides_no_later_work() -> None:
    work = track("ab", "stores")
    assert next(work) == "a"
    work.close()
    said.clear()
    assert [*track(iter("x"), "shards")] == ["x"]
    assert said == [("shards", 0, 0), ("shards", 1, 0)]
