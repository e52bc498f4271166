import re

import numpy as np
import oracle
import pytest

from savs import select
from savs.pipeline.errors import SelectionError
from stores import make_store


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    labels = list("bababacacb")
    pull = rng.normal(size=(8, 3, 6)) * np.linspace(0, 2, 8)[:, None, None]
    numbers = ["bac".index(label) for label in labels]  # order of first appearance: b, a, c
    train = (pull[:, numbers] + rng.normal(size=(8, 10, 6))).astype(np.float32)
    test = rng.normal(size=(8, 4, 6)).astype(np.float32)
    return train, labels, test, list("abca")


@pytest.fixture
def store(tmp_path, arrays):
    return make_store(tmp_path / "s", *arrays)


@pytest.mark.parametrize("scoring", ["resubstitution", "loo"])
@pytest.mark.parametrize("heads", [1, 3, 8, "all", None], ids=str)
def test_chosen_heads_equal_the_slow_method(store, arrays, scoring, heads):
    train, labels, *_ = arrays
    task = select(store, heads=heads, scoring=scoring).only_task()
    numbers = ["bac".index(label) for label in labels]
    expected = oracle.ranking(train.astype(float).tolist(), numbers, 3, scoring)
    count = heads if isinstance(heads, int) else 8  # all of few by default
    assert task.heads == tuple((0, head) for head in expected[:count])
    assert task.classes == ("b", "a", "c")
    assert task.examples == 10


WRONG = [
    *(({"heads": n}, f"`heads` is {n!r}, expected a whole number, 'all'") for n in (2.0, [1])),
    ({"heads": True}, "`heads` is True, expected a whole number or 'all'"),
    ({"heads": "none"}, "`heads` is 'none', expected a number, all, a list such as L12.H7"),
    *(({"heads": n}, f"{n} heads were requested, but there are 8") for n in (0, "9", -1)),
    ({"readout": "wote"}, "no readout is called 'wote' (did you mean 'vote'?); expected"),
    ({"scoring": "k"}, "no scoring is called 'k'; expected: resubstitution, loo"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(options) for options, _ in WRONG])
def test_options_that_cannot_be_are_named(store, options, message):
    with pytest.raises(SelectionError, match=f"^{re.escape(message)}"):
        select(store, **options)


def test_one_class_only(tmp_path, arrays):
    train, _, *test = arrays
    store = make_store(tmp_path / "s", train, ["x"] * 10, *test)
    with pytest.raises(SelectionError, match="one class only, 'x'"):
        select(store, heads=2)


@pytest.mark.parametrize("memory", [2**30, 1])
def test_subtasks_are_selected_by_themselves(tmp_path, monkeypatch, memory):
    monkeypatch.setattr("savs.pipeline.selection.training_data.MEMORY", memory)
    # head 0 tells a from b, head 1 tells c from d; each is noise-free for its own subtask only
    one, other = np.float32([[1, 0], [0, 1]] * 2), np.float32([[1, 1]] * 4)
    train = np.stack([np.concatenate([one, other]), np.concatenate([other, one])])
    rows = [{"subtask": "first"}] * 4 + [{"subtask": "second"}] * 4
    store = make_store(
        tmp_path / "s", train, list("ababcdcd"), train, list("ababcdcd"),
        train_rows=rows, test_rows=rows,
    )  # fmt: skip
    selection = select(store, heads=1)
    assert [(t.subtask, t.classes, t.heads) for t in selection.tasks] == [
        ("first", ("a", "b"), ((0, 0),)),
        ("second", ("c", "d"), ((0, 1),)),
    ]
    with pytest.raises(SelectionError, match="2 subtasks were selected"):
        selection.top_heads  # noqa: B018 - the property raises
