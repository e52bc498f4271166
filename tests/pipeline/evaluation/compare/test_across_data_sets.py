import pytest
from small_results import save_result

from savs.pipeline import across_data_sets, compare
from savs.pipeline.evaluation.statistics.paired_tests import mean_over_data_sets

RIGHT = {
    "one": ([1, 0] * 10, [1] * 20),  # +.5
    "two": ([1, 0] * 10, [1, 0] * 9 + [1, 1]),  # +.05
    "three": ([1] * 20, [0] * 20),  # -1
}


def test_each_data_set_counts_the_same(tmp_path):
    folders = [
        save_result(tmp_path / name / readout, right, stem=name)
        for name, pair in RIGHT.items()
        for readout, right in zip(("vote", "lda"), pair, strict=True)
    ]
    (row,) = across_data_sets(compare(folders)).to_dicts()
    assert (row["a"], row["b"], row["data_sets"]) == ("vote", "lda", 3)
    expected = mean_over_data_sets([0.5, 0.05, -1.0])
    assert row["difference"] == pytest.approx(expected.value) == pytest.approx(-0.15)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    # all flips of .5, .05 and 1 whose sum is at least .45 from 0
    sums = [abs(a * 0.5 + b * 0.05 + c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    assert row["p"] == sum(s >= 0.45 - 1e-9 for s in sums) / 8
    assert (row["wins"], row["ties"], row["losses"]) == (1, 1, 1)


def test_one_data_set_has_no_row(tmp_path):
    folders = [
        save_result(tmp_path / readout, right)
        for readout, right in zip(("vote", "lda"), RIGHT["one"], strict=True)
    ]
    assert across_data_sets(compare(folders)).height == 0
