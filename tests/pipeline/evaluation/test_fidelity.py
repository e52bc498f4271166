"""`select` and `evaluate` on whole stores, number by number, against the slow method."""

import ml_dtypes
import numpy as np
import oracle
import pytest
from readout_cases import Case, draw

from savs import evaluate, select
from stores import make_store

HEADS = 24
COUNTS = (1, 3, 20, HEADS)


def _twins() -> Case:
    case = draw(3, HEADS, (4, 3, 4), 6)
    first, last = (np.flatnonzero(case.labels == c) for c in (0, 2))
    case.train[::2, last] = case.train[::2, first]  # bit-identical centroids in every other head
    case.train[7], case.test[7] = case.train[11], case.test[11]  # twin heads
    return case


def _zeros() -> Case:
    case = draw(4, HEADS, (3, 4, 3), 6)
    case.train[3] = 0
    case.train[5, case.labels == 1] = 0
    case.train[:, 2] = case.test[:, 1] = case.test[6] = 0
    return case


def _constant() -> Case:
    case = draw(5, HEADS, (4, 5), 6)
    case.train[20:], case.test[20:] = case.train[20:, :1], case.train[20:, :1]
    return case


CASES = {
    "2 classes": draw(1, HEADS, (5, 5), 8),
    "4 unbalanced classes": draw(2, HEADS, (7, 2, 4, 3), 8),
    "12 classes": draw(6, HEADS, (2,) * 12, 8),
    "one example a class": draw(7, HEADS, (1,) * 5, 8),
    "twins": _twins(),
    "zero vectors": _zeros(),
    "constant heads": _constant(),
}
QUICK = {("4 unbalanced classes", "bfloat16", "loo")}


def parameters() -> list:
    found = []
    for name, case in CASES.items():
        for dtype in ("float32", "float16", "bfloat16"):
            for scoring in ("resubstitution", "loo"):
                if scoring == "loo" and name == "one example a class":
                    continue
                mark = pytest.mark.thorough if dtype == "float32" else pytest.mark.costly
                marks = [] if (name, dtype, scoring) in QUICK else [mark]
                found.append(
                    pytest.param(case, dtype, scoring, id=f"{name}-{dtype}-{scoring}", marks=marks)
                )
    return found


@pytest.mark.parametrize(("case", "dtype", "scoring"), parameters())
def test_heads_counts_votes_and_predictions_equal_the_slow_method(tmp_path, case, dtype, scoring):
    names = [f"class {c}" for c in case.labels]
    order = list(dict.fromkeys(names))  # of first appearance
    labels, classes = [order.index(name) for name in names], len(order)
    truth = [order[i % classes] for i in range(case.test.shape[1])]
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    train, test = (x.astype(kind).astype(float).tolist() for x in (case.train, case.test))
    store = make_store(tmp_path / "s", case.train, names, case.test, truth, dtype=dtype)
    ranking = oracle.ranking(train, labels, classes, scoring)
    for count in COUNTS:
        selection = select(store, heads="all" if count == HEADS else count, scoring=scoring)
        task = selection.only_task()
        chosen = ranking[:count]
        assert task.classes == tuple(order)
        assert [head for _, head in task.heads] == chosen
        assert task.scores == tuple(
            oracle.successes(train[h], labels, classes, scoring) for h in chosen
        )
        margins = [oracle.margin(train[h], labels, classes) for h in chosen]
        assert task.margins == pytest.approx(margins, abs=1e-5)
        slow = oracle.vote([train[h] for h in chosen], labels, classes, [test[h] for h in chosen])
        result = evaluate(store, selection)
        assert result.predictions["prediction"].to_list() == [order[choice] for choice, _ in slow]
        votes = [
            {order.index(v["class"]): v["score"] for v in row if v["score"]}
            for row in result.predictions["votes"]
        ]
        assert votes == [ballots for _, ballots in slow]
        assert result.predictions["margin"].to_list() == [
            ballots[choice] - max((n for c, n in ballots.items() if c != choice), default=0)
            for choice, ballots in slow
        ]
        right = [order[choice] == y for (choice, _), y in zip(slow, truth, strict=True)]
        assert result.metrics[0].value == pytest.approx(sum(right) / len(right))


@pytest.mark.thorough
@pytest.mark.parametrize("heads", [3, 16])
def test_exact_ties_on_integer_vectors(tmp_path, heads):
    # In every head the classes are the axes in an order of its own, so all heads score 4 of 4 with
    # margin 1, and the first heads are chosen. Test vectors of zeros and ones are equally near to
    # all axes where they have a one (cosines 1 / sqrt(ones) exactly), or to all of them.
    rng = np.random.default_rng(heads)
    orders = np.stack([rng.permutation(4) for _ in range(16)])
    train = np.eye(4, dtype=np.float32)[orders] * 2.0 ** rng.integers(-2, 3, (16, 4, 1))
    test = rng.integers(0, 2, (16, 30, 4)).astype(np.float32)
    store = make_store(tmp_path / "s", train.astype(np.float32), list("dbca"), test, list("a") * 30)
    selection = select(store, heads=heads)
    task = selection.only_task()
    assert task.heads == tuple((0, head) for head in range(heads))
    assert (set(task.scores), set(task.margins)) == ({4.0}, {1.0})
    found = evaluate(store, selection).predictions
    for i, row in enumerate(found.iter_rows(named=True)):
        ballots = []  # by hand: the first class whose axis has a one, or the first of all
        for head in range(heads):
            ones = [c for c in range(4) if test[head, i, orders[head, c]]]
            ballots.append("dbca"[ones[0] if ones else 0])
        counts = {name: ballots.count(name) for name in ballots}  # in the order of the heads
        assert row["prediction"] == max(
            counts, key=lambda name: counts[name]
        )  # the first of equals
        assert {v["class"]: v["score"] for v in row["votes"] if v["score"]} == counts
