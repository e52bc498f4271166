"""Whole selections and evaluations equal an independent float64 oracle on random stores."""

import numpy as np
import oracle
import pytest
from random_stores import KINDS, SEEDS, write_problem

from savs import evaluate, select
from savs.pipeline.readouts import READOUTS
from savs.stores.format.layout import NEURONS, holder, is_neuron, neuron

MARKS = {0: (), 1: pytest.mark.thorough}
STORES = [
    pytest.param((kind, seed), marks=MARKS.get(seed, pytest.mark.costly), id=f"{kind} {seed}")
    for kind in KINDS
    for seed in SEEDS
]
HEADS = 7
CLOSE = 1e-5
"""Margins and sums of probabilities that rounding in float32 may order either way."""


@pytest.fixture(scope="module", params=STORES)
def case(request, tmp_path_factory):
    kind, seed = request.param
    problem = KINDS[kind](seed)
    return problem, write_problem(tmp_path_factory.mktemp("store") / "s", problem)


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold"])
@pytest.mark.parametrize("readout", ["vote", "lda", "neurons"])
def test_the_best_heads_are_chosen(case, readout, scoring):
    problem, store = case
    if scoring != "resubstitution" and "class 1" in problem.train_labels:
        smallest = min(np.bincount(problem.task(s)[2]).min() for s in set(problem.train_subtasks))
        if smallest < 2:
            pytest.skip("a class of one cannot be left out")
    for found in select(store, heads=HEADS, readout=readout, scoring=scoring).tasks:
        classes, rows, labels, _ = problem.task(found.subtask)
        if readout == "neurons":
            columns = [column[rows] for head in problem.train for column in head.T]
            slow = [oracle.neuron_score(c, labels, len(classes), scoring) for c in columns]
            among = [
                neuron(head, index)
                for head, width in zip(store.heads, store.widths(store.heads), strict=True)
                for index in range(width)
            ]
        else:
            among = store.heads
            slow = [
                oracle.head_score(head[rows], labels, len(classes), readout, scoring)
                for head in problem.train
            ]
        places = [among.index(head) for head in found.heads]
        np.testing.assert_allclose(found.scores, [slow[p][0] for p in places], atol=1e-4)
        np.testing.assert_allclose(found.margins, [slow[p][1] for p in places], atol=1e-4)
        keys = sorted((-score, -margin, place) for place, (score, margin) in enumerate(slow))
        for place, (score, margin, expected) in zip(places, keys, strict=False):
            close = np.abs(np.subtract(slow[place], (-score, -margin))) < CLOSE
            assert place == expected or close.all(), (place, expected)


def values_of(heads, store, address):
    """Return the `(rows, d)` features of a head, or of a neuron."""
    values = heads[store.heads.index(holder(address))]
    return values[:, [address[1] % NEURONS]] if is_neuron(address) else values


@pytest.mark.parametrize("readout", READOUTS)
def test_every_prediction_is_the_oracles(case, readout):
    problem, store = case
    selection = select(store, heads=HEADS, readout=readout)
    found = evaluate(store, selection).predictions
    assert found["id"].to_list() == [f"test:{i}" for i in range(len(problem.test_labels))]
    ours = found["prediction"].to_numpy()
    compared = clear = 0
    for task in selection.tasks:
        classes, rows, labels, tested = problem.task(task.subtask)
        assert list(task.classes) == classes
        slow = oracle.predict(
            readout,
            [values_of(problem.train, store, head)[rows] for head in task.heads],
            labels,
            len(classes),
            [values_of(problem.test, store, head)[tested] for head in task.heads],
        )
        for row, name in enumerate(ours[tested]):
            number = classes.index(name)
            assert slow.open[row, number], (tested[row], name, classes[slow.choice[row]])
            if slow.open[row].sum() == 1:
                assert number == slow.choice[row]
                clear += 1
            compared += 1
    assert compared == len(problem.test_labels)
    assert clear >= 0.5 * compared  # logistic cannot tell classes of the same examples apart
