from collections import Counter

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.pipeline.heads.folds import (
    FOLDS,
    best_setting,
    fold_count,
    label_folds,
    number_folds,
    stratified_folds,
)

shuffled_labels = st.lists(st.integers(1, 9), min_size=2, max_size=6).flatmap(
    lambda counts: st.permutations([c for c, n in enumerate(counts) for _ in range(n)])
)


@settings(max_examples=40, deadline=None)
@given(shuffled_labels, st.integers(2, 5))
def test_without_clusters_the_parts_are_those_of_the_slow_method(labels, parts):
    found = stratified_folds(np.array(labels), parts)
    assert found.tolist() == oracle.parts_of(labels, parts)


@settings(max_examples=40, deadline=None)
@given(shuffled_labels, st.integers(2, 5))
def test_every_part_has_every_class_that_has_examples_enough(labels, parts):
    found = stratified_folds(np.array(labels), parts)
    for label, count in Counter(labels).items():
        sizes = [sum(found[np.array(labels) == label] == part) for part in range(parts)]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1 or count < parts


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(shuffled_labels, st.integers(2, 5), st.data())
def test_clusters_stay_whole_and_the_parts_are_the_same_again(labels, parts, data):
    names = [data.draw(st.sampled_from("uvwxyz")) for _ in labels]
    found = stratified_folds(np.array(labels), parts, names)
    assert ((found >= 0) & (found < parts)).all()
    assert len(set(zip(names, found.tolist(), strict=True))) == len(set(names))
    assert (found == stratified_folds(np.array(labels), parts, names)).all()


def test_clusters_go_largest_first_to_where_their_classes_are_fewest():
    # x (three of class 0) to part 0, the first; y (two of class 1): no part has class 1 yet, and
    # part 1 has fewer examples; z (class 0): part 1 has none of it
    labels = np.array([0, 1, 0, 0, 1, 0])
    assert stratified_folds(labels, 2, list("xyxxyz")).tolist() == [0, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("counts", "parts"), [((20, 20), FOLDS), ((7, 3), 3), ((5, 9), 5), ((1, 4), 1)], ids=str
)
def test_there_are_as_many_parts_as_the_rarest_class_has_examples(counts, parts):
    assert fold_count(np.repeat([0, 1], counts)) == parts


def test_ranges_of_numbers_have_a_tenth_of_the_examples_or_more():
    # of 22 in two parts, ranges of 4: the first has rows 0 to 3, which are dealt out in turn
    numbers = np.array([0.0, 2, 1, 3, *range(4, 22)])
    names = list(map(str, range(22)))
    assert number_folds(numbers, 2, names).tolist() == [0, 1] * 11


def test_the_first_of_the_settings_that_left_out_examples_are_right_with_is_best():
    labels, seen = np.array([0, 1, 0, 1]), []

    def choices(train, out):
        seen.append((train.tolist(), out.tolist()))
        right = labels[out]
        return np.stack([1 - right, right, right, np.zeros_like(right)])

    assert best_setting(labels, 4, choices) == 1
    first, second = [True, True, False, False], [False, False, True, True]
    assert seen == [(second, first), (first, second)]
    assert best_setting(np.array([0, 0, 1]), 4, choices) == 0  # no part can be left out


def test_a_label_that_no_part_has_more_of_goes_to_the_smallest_part():
    # the first label is in x alone, whose three rows go to part 0; the second one is in y alone,
    # and no part has it yet: part 1 has fewer rows
    states = np.array([[1, 0, 0, 0], [0, 0, 0, 1]])
    assert label_folds(states, 2, list("xxxy")).tolist() == [0, 0, 0, 1]
