"""The measurement of the label loop: what a round spends, and what the intervals are of."""

import bench_suggest
import numpy as np
import pytest
from bench_suggest import Curve, Draw, Images, Wanted, begin, curve_of, draw_of, gain

from savs.stores import LayerGrid
from stores import identity, write_store

GRID = (LayerGrid(0, (0, 1), 4),)
LABELS = {f"{kind}{number}": kind for kind in ("cat", "dog") for number in range(60)}


@pytest.fixture
def images(tmp_path):
    """Return images that every head tells apart, none with a label in the store."""
    rng = np.random.default_rng(0)
    centres = [[1.0, 0, 0, 0] if kind == "cat" else [0, 1.0, 0, 0] for kind in LABELS.values()]
    features = np.stack([centres + rng.normal(size=(len(LABELS), 4)) * 0.1 for _ in range(2)])
    rows = [{"id": name, "label": None, "prompt": "?"} for name in LABELS]
    store = write_store(
        tmp_path / "images",
        identity(grid=GRID),
        {"unlabelled": {0: features.astype(np.float32)}},
        {"unlabelled": rows},
    )
    return Images(store.path, LABELS)


def test_wrong_looks_change_neither_the_start_nor_what_can_be_chosen():
    right, noisy = draw_of(LABELS, 3, 0.0), draw_of(LABELS, 3, 0.25)
    assert (right.test, right.start, right.pool) == (noisy.test, noisy.start, noisy.pool)
    assert len(right.test) == 60
    assert sorted([*right.test, *right.start, *right.pool]) == sorted(LABELS)
    assert sorted(LABELS[name] for name in right.start) == ["cat"] * 3 + ["dog"] * 3
    assert right.looks == (LABELS, LABELS)
    for look in noisy.looks:  # 120 looks: 30 wrong, standard deviation 4.7
        assert 16 <= sum(look[name] != LABELS[name] for name in LABELS) <= 44
    assert noisy.looks[0] != noisy.looks[1]
    assert draw_of(LABELS, 4, 0.0).test != right.test


def test_a_draw_without_enough_images_of_a_class_is_refused():
    few = LABELS | {"owl0": "owl"}
    with pytest.raises(ValueError, match="fewer than 3 images of a class"):
        draw_of(few, 0, 0.0)
    with pytest.raises(ValueError, match="leaves 14 images, too few for the rounds"):
        draw_of(dict(list(LABELS.items())[40:80]), 0, 0.0)  # 20 in the test half, 6 to start with


@pytest.mark.thorough
@pytest.mark.parametrize("way", bench_suggest.WAYS)
def test_each_way_spends_the_same_looks_and_learns_from_first_ones(
    images, tmp_path, monkeypatch, way
):
    monkeypatch.setattr(bench_suggest, "HEADS", 2)
    draw = draw_of(LABELS, 0, 0.0)
    store = begin(images, draw, tmp_path / "start")
    spent = []

    def watched(*given):
        wanted = bench_suggest.WAYS[way](*given)
        spent.append(wanted)
        return wanted

    curve = curve_of(store, LABELS, draw, watched, "vote")
    assert [len(w.first) + len(w.again) for w in spent] == [10] * 4
    first = [name for wanted in spent for name in wanted.first]
    assert len(set(first)) == len(first)
    assert set(first) <= set(draw.pool)
    assert len(curve.accuracies) == 5
    assert (curve.accuracies[-1], curve.wrong) == (1.0, 0.0)


@pytest.mark.thorough
def test_a_suspect_is_looked_at_again_once_and_gets_the_second_label(images, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_suggest, "HEADS", 2)
    right = draw_of(LABELS, 0, 0.0)
    lies = {name: "dog" if LABELS[name] == "cat" else "cat" for name in right.pool[:2]}
    wanted_by_round = []

    def watched(store, selection, draw, again):
        wanted = bench_suggest.suspects_first(store, selection, draw, again)
        if not wanted_by_round:
            wanted = Wanted(draw.pool[:10], [])
        wanted_by_round.append(wanted)
        return wanted

    def loop(folder, second):
        draw = Draw(right.test, right.start, right.pool, (LABELS | lies, second))
        wanted_by_round.clear()
        return curve_of(begin(images, draw, tmp_path / folder), LABELS, draw, watched, "vote")

    mended = loop("mended", LABELS)
    again = [name for wanted in wanted_by_round for name in wanted.again]
    assert set(again) >= set(lies)
    assert len(set(again)) == len(again)
    assert mended.wrong == 0
    left = loop("left", LABELS | lies)
    assert [name for w in wanted_by_round for name in w.again].count(next(iter(lies))) == 1
    known = 6 + sum(len(w.first) for w in wanted_by_round)
    assert left.wrong == pytest.approx(2 / known)


def test_the_area_and_the_paired_interval_are_those_by_hand():
    # (.5 + .7) / 2 and (.7 + .8) / 2: their mean is .675
    assert Curve([0.5, 0.7, 0.8], 0.0).area == pytest.approx(0.675)
    # differences 1, 2 and 3 points: mean 2, deviation 1, t of 2 degrees 4.303, half 2.484
    values, others = np.array([0.81, 0.72, 0.63]), np.array([0.80, 0.70, 0.60])
    assert gain(values, others) == "+2.0 (-0.5 .. +4.5)"


def test_a_row_names_the_ways_in_the_order_of_its_columns():
    def curves(*ends):
        return [Curve([0.5, 0.5, 0.5, 0.5, end], wrong) for end, wrong in ends]

    draws = [
        curves((0.6, 0.2), (0.7, 0.1), (1.0, 0.0)),
        curves((0.6, 0.2), (0.7, 0.3), (1.0, 0.0)),
    ]
    header = bench_suggest.header_of(list(bench_suggest.WAYS))
    cells = dict(zip(header, bench_suggest.row_of("animal", "`vote`", draws), strict=True))
    assert (cells["start"], cells["+40"]) == ("50.0", "60.0 / 70.0 / 100.0")
    assert cells["suggest, at +40"] == "+10.0 (+10.0 .. +10.0)"
    assert cells["suspects first, at +40"] == "+40.0 (+40.0 .. +40.0)"
    assert cells["suspects first, area"] == "+5.0 (+5.0 .. +5.0)"  # 40 points, half of a quarter
    assert cells["suspects first to suggest, at +40"] == "+30.0 (+30.0 .. +30.0)"
    assert cells["wrong labels"] == "20.0 / 20.0 / 0.0"
