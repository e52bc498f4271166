"""Copies of stores: nothing that is not whole is merged or slimmed; a slim one is evaluated."""

import numpy as np
import pytest

from savs.pipeline.classifying.bundle.card import store_card
from savs.pipeline.classifying.exporting import export_store
from savs.stores import StoreIncompleteError, open_store
from savs.stores.format.layout import CARD
from savs.stores.maintain.copy import merge, slim
from savs.stores.write.writer import FeatureWriter
from stores import make_store

pytestmark = pytest.mark.thorough


def test_a_slim_store_of_many_shards_takes_the_selection_that_it_was_made_with(
    savs, inputs, tmp_path
) -> None:
    pytest.importorskip("torch")
    train, test = inputs.few_shots(train=6, test=5)
    given = ("--train", train, "--test", test, "--model", "demo")
    made = savs(
        *("extract", "general", *given, "--out", "full"),
        env={"SAVS_EXTRACT_ENGINE": "local,shard_rows=2"},
    )
    assert made.returncode == 0
    assert savs("select", "full", "--heads", "3").returncode == 0
    assert (
        savs("export", "full", "--to", "store", "--heads", "chosen", "--out", "slim").returncode
        == 0
    )
    done = savs("evaluate", "slim", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "using slim/results/vote\n" in done.stderr


def test_what_is_not_whole_is_neither_merged_nor_slimmed(tmp_path) -> None:
    ones = np.ones((3, 8, 4), np.float32)
    store = make_store(tmp_path / "s", *(ones, list("ab") * 4) * 2)
    other = make_store(tmp_path / "t", *(ones[:, :2], ["a", "b"]) * 2)
    (store.path / "test-00001.h5").unlink()
    partial = open_store(store.path, partial=True)
    with pytest.raises(StoreIncompleteError, match="1 of 6 shards are missing"):
        slim(partial, store.heads[:1], tmp_path / "slim")
    with pytest.raises(StoreIncompleteError, match="1 of 6 shards are missing"):
        merge([partial, other], tmp_path / "merged")


def test_a_slim_store_has_its_card_before_it_is_whole(tmp_path, monkeypatch) -> None:
    ones = np.ones((3, 8, 4), np.float32)
    store, out = make_store(tmp_path / "s", *(ones, list("ab") * 4) * 2), tmp_path / "slim"
    cards, sealed = [], FeatureWriter.sealed

    def finished(writer, manifest):
        assert not (out / "store.json").exists()
        cards.append((out / CARD).read_text())
        return sealed(writer, manifest)

    monkeypatch.setattr(FeatureWriter, "sealed", finished)
    export_store(store, store.heads[:1], out, [])
    assert cards == [(out / CARD).read_text()] == [store_card(open_store(out), [])]
