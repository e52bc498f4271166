import numpy as np
import pytest

from savs.pipeline.selection.training_data import RowsCopier

FEATURES = np.random.default_rng(0).standard_normal((3, 6, 4), np.float32)


@pytest.mark.parametrize("width", [4, 3])
@pytest.mark.parametrize("heads", [None, [2, 0], [1]])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [5, 2], [3], []])
def test_rows_are_those_of_an_index(heads, rows, width) -> None:
    wanted = np.array(rows, np.int64)
    given = None if heads is None else np.array(heads)
    found = RowsCopier().copy(FEATURES[:, :, :width], wanted, given)
    expected = FEATURES[[0, 1, 2] if heads is None else heads][:, wanted, :width]
    np.testing.assert_array_equal(found, expected, strict=True)


def test_all_rows_are_not_copied() -> None:
    assert RowsCopier().copy(FEATURES, np.arange(6)) is FEATURES
    assert RowsCopier().copy(FEATURES, np.arange(6), np.arange(3)) is FEATURES
    assert RowsCopier().copy(FEATURES, np.arange(6)[::-1]) is not FEATURES


def test_memory_is_used_again_and_grows() -> None:
    copier = RowsCopier()
    first = copier.copy(FEATURES, np.arange(4))
    again = copier.copy(FEATURES, np.arange(1, 4))
    assert np.shares_memory(first, again)
    larger = copier.copy(FEATURES, np.arange(1, 6))
    np.testing.assert_array_equal(larger, FEATURES[:, 1:6])
    np.testing.assert_array_equal(again, FEATURES[:, 1:4])  # in memory of its own
