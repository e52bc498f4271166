"""Accuracy against depth is that of selections from the first layers."""

import pytest
from random_stores import draw_problem, write_problem

from savs import evaluate, load_selection, save_selection, select, sweep
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.selection import choose_heads_like
from savs.pipeline.statistics.paired_tests import subtract


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of layers 0, 2 and 4 with four heads each, the later ones better."""
    return write_problem(tmp_path_factory.mktemp("depth") / "s", draw_problem(1, counts=(6, 6, 6)))


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["vote", "logistic"])
def test_each_point_is_a_selection_with_that_max_layer(store, readout):
    found = sweep(store, heads=[3], readouts=[readout], max_layers="each")
    rows = found.summary.filter(metric="accuracy")
    assert rows["max_layer"].to_list() == [0, 2, 4]
    assert rows["share"].to_list() == [1 / 5, 3 / 5, 1]
    alone = [
        evaluate(store, select(store, heads=3, readout=readout, max_layer=layer))
        for layer in (0, 2, 4)
    ]
    for row, expected in zip(rows.iter_rows(named=True), alone, strict=True):
        metric = expected.metrics[0]
        assert (row["mean"], row["low"], row["high"]) == (metric.value, metric.low, metric.high)
        apart = subtract(alone[2].units[0].scores, expected.units[0].scores)
        if row["max_layer"] == 4:
            assert row["difference"] is row["against"] is None
        else:
            assert (row["difference"], row["p"]) == (apart.value, apart.test.p)
            assert row["against"] == "4"
    assert rows["mean"][0] < rows["mean"][2]
    assert rows["p_holm"][0] >= rows["p"][0]


@pytest.mark.parametrize(
    "options",
    [{"max_layer": 0}, {"scoring": "loo"}, {"readout": "lda"}, {"heads": 2}],
    ids=str,
)
def test_heads_are_chosen_again_as_they_were(store, options):
    before = select(store, **{"heads": 3, **options})
    assert before.to_json() != select(store, heads=3).to_json()
    assert choose_heads_like(store, before).to_json() == before.to_json()
    named = select(store, heads=[(2, 1)])
    assert choose_heads_like(store, named).heads == named.heads


def test_draws_are_the_same_at_every_depth(store):
    grid = {"heads": [4], "shots": [3], "draws": 3, "seed": 4}
    rows = sweep(store, max_layers=[2], **grid).summary.filter(metric="accuracy")
    whole = sweep(store, **grid).summary.filter(metric="accuracy").row(0, named=True)
    assert {name: whole[name] for name in ("mean", "low", "high")} == {
        name: rows[name][1] for name in ("mean", "low", "high")
    }
    assert rows["max_layer"].to_list() == [2, 4]  # the last layer is always there
    assert rows["draws"].to_list() == [3, 3]
    assert rows["difference"][0] == pytest.approx(rows["mean"][0] - rows["mean"][1])
    assert rows["difference_low"][0] < rows["difference"][0] < rows["difference_high"][0]


def test_a_depth_without_enough_heads_is_left_out_or_refused(store):
    found = sweep(store, heads=[5], max_layers="each").summary
    assert found["max_layer"].unique(maintain_order=True).to_list() == [2, 4]
    with pytest.raises(SelectionError, match="layers up to 1 have 4 heads, fewer than the 5"):
        sweep(store, heads=[5], max_layers=[1])
    with pytest.raises(SelectionError, match="`max_layer` is 99, but the last layer of the store"):
        sweep(store, heads=[5], max_layers=[99])


def test_a_selection_keeps_its_max_layer(store, tmp_path):
    selection = select(store, heads=4, max_layer=3)
    assert max(layer for layer, _ in selection.heads) <= 2
    assert load_selection(save_selection(selection, tmp_path)).max_layer == 3
    assert set(select(store, max_layer=0).heads) == {(0, n) for n in range(4)}
    # cross-validation chooses from the same layers, where the better heads are not
    whole, few = (
        evaluate(store, select(store, heads=4, max_layer=layer), on="folds").metrics[0].value
        for layer in (None, 0)
    )
    assert few < whole - 0.2


def test_layers_that_cannot_be(store):
    wrong = {
        "9 heads were requested, but there are 8 up to layer 2;": {"heads": 9, "max_layer": 2},
        "`max_layer` is -1, but the first layer of the store with heads is 0": {"max_layer": -1},
        "`heads` gives the heads": {"heads": select(store, heads=2), "max_layer": 2},
    }
    for message, options in wrong.items():
        with pytest.raises(SelectionError, match=message):
            select(store, **options)
