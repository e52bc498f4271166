import h5py
import numpy as np
import pytest

from savs import evaluate, save_selection, select
from savs.pipeline.errors import SelectionError
from savs.stores import ResultError, StoreMismatchError

pytestmark = pytest.mark.thorough


@pytest.fixture
def chosen(run, tmp_path):
    """Return a store of all heads, and the folder of a selection of three."""
    store = run("all").store
    selection = select(store, heads=3)
    return store, selection, save_selection(selection, tmp_path / "selection")


def features_on_disk(store) -> int:
    # not the bytes of files: HDF5 rounds those of small shards up to whole pages
    def count(name, item):
        counts.append(item.size if getattr(item, "ndim", 0) > 1 else 0)

    counts: list[int] = []
    for path in store.path.glob("*.h5"):
        with h5py.File(path) as file:
            file.visititems(count)
    return sum(counts)


def test_a_store_of_chosen_heads_has_their_bits_and_no_others(run, chosen, monkeypatch) -> None:
    store, selection, folder = chosen
    heads = sorted((layer, head) for layer, head, _ in selection.top_heads)
    small = run("small", heads=folder).store
    assert small.heads == heads
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            small.features(split, raw=True), store.features(split, heads, raw=True)
        )
        assert small.examples(split).equals(store.examples(split))
    assert features_on_disk(small) * 4 == features_on_disk(store)
    found, expected = (evaluate(one, selection).predictions for one in (small, store))
    assert found["prediction"].equals(expected["prediction"])


def test_a_selection_of_another_model_is_refused(run, chosen, tiny_model) -> None:
    message = r"does not fit this run, .*\n  model\.name: 'qwen2_vl' in the selection, 'qwen2_5"
    with pytest.raises(SelectionError, match=message):
        run("small", heads=chosen[2], model=str(tiny_model("qwen2_5_vl")))
    with pytest.raises(ResultError, match="nowhere"):
        run("small", heads="nowhere")


def test_a_store_of_all_heads_is_not_resumed_with_some(run, chosen) -> None:
    with pytest.raises(StoreMismatchError, match=r"head grid: '3 layers, 12 heads' in the store"):
        run("all", heads=chosen[2])


def test_a_complete_store_is_compared_with_the_heads_that_are_asked_for(
    run, tmp_path, weightless
) -> None:
    whole = run("all", model="demo").store
    three, two = (
        save_selection(select(whole, heads=heads), tmp_path / str(heads)) for heads in (3, 2)
    )
    run("three", model="demo", heads=three)
    for name, asked in (("all", three), ("three", two), ("three", None)):
        with pytest.raises(StoreMismatchError, match="head grid"):
            run(name, model="demo", heads=asked)
    weightless()
    assert run("three", model="demo", heads=three).rows == 0
    assert run("all", model="demo").rows == 0
