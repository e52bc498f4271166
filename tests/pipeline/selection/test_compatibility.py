"""A selection on examples with another prompt, or a model of another name, than in training."""

import json
from dataclasses import replace

import numpy as np
import pytest

from savs import evaluate, label, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.compatibility import appended_since, older_note, require_match
from savs.pipeline.selection.training_data import LABELS, labels_digest
from savs.stores import FeatureStore
from savs.stores.format.manifest import PlacedRow
from stores import make_store


def store_of(folder, train: list[str], test: list[str], media: int = 1) -> FeatureStore:
    """Write a store whose examples have these prompts; it differs by the number of them."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, len(texts), 2)).astype(np.float32) for texts in (train, test)]
    labels = [(["a", "b"] * len(texts))[: len(texts)] for texts in (train, test)]
    names = json.dumps([f"{n}.jpg" for n in range(media)])
    rows = [[{"prompt": text, "media": names} for text in texts] for texts in (train, test)]
    return make_store(
        *(folder, values[0], labels[0], values[1], labels[1]), train_rows=rows[0], test_rows=rows[1]
    )


def test_a_selection_records_the_prompt_that_all_training_examples_have(tmp_path) -> None:
    one = select(store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4, media=2), heads=1)
    assert [(task.question, task.media) for task in one.tasks] == [("Cat?", 2)]
    several = select(store_of(tmp_path / "b", ["A?", "B?"] * 2, ["A?"] * 4), heads=1)
    assert [(task.question, task.media) for task in several.tasks] == [(None, 1)]


def test_another_prompt_in_another_store_is_refused_unless_it_is_allowed(tmp_path) -> None:
    selection = select(store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4), heads=1)
    other = store_of(tmp_path / "b", ["Dog?"] * 6, ["Cat?", "Dog?", "Dog?", "Cat?"])
    message = (
        r"^2 of 4 examples have another prompt than in training, 'Cat\?'; 'test:1' has 'Dog\?';"
        r".* `allow_other_prompt`$"
    )
    with pytest.raises(SelectionError, match=message):
        evaluate(other, selection)
    several = replace(selection.only_task(), media=None)  # of training examples with more, or fewer
    with pytest.raises(SelectionError, match=message):
        evaluate(other, replace(selection, tasks=(several,)))
    notes = evaluate(other, selection, allow_other_prompt=True).notes
    assert any(note.startswith("2 of 4 examples have another prompt") for note in notes)
    same = evaluate(store_of(tmp_path / "c", ["Dog?"] * 6, ["Cat?"] * 4), selection)
    assert not any("prompt" in note for note in same.notes)


def test_a_model_of_another_name_is_the_same_if_its_weights_are_known_to_be(tmp_path) -> None:
    selection = select(store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4), heads=1)
    facts = dict(selection.source.model)
    running = replace(selection.source, model=facts | {"name": "other"})
    notes = require_match(selection, running, allow_other_prompt=False)
    assert notes == ["model.name: 'toy' in the classifier, 'other' now"]
    running = replace(selection.source, model=facts | {"revision": "main"})
    (note,) = require_match(selection, running, allow_other_prompt=False)
    assert note.startswith("model.revision: ")
    unknown = replace(selection.source, model=facts | {"weights": None})
    running = replace(unknown, model=dict(unknown.model) | {"name": "other"})
    with pytest.raises(SelectionError, match=r"another model, .*\n  model\.name: 'toy' in"):
        require_match(replace(selection, source=unknown), running, allow_other_prompt=False)


def test_another_number_of_images_is_another_prompt(tmp_path) -> None:
    selection = select(store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4), heads=1)
    other = store_of(tmp_path / "b", ["Cat?"] * 6, ["Cat?"] * 4, media=2)
    with pytest.raises(SelectionError, match=r"with 1 images; 'test:0' has 2;"):
        evaluate(other, selection)


def test_in_its_own_store_another_prompt_is_noted(tmp_path) -> None:
    store = store_of(tmp_path / "a", ["Cat?"] * 4, ["Dog?"] * 4)
    notes = evaluate(store, select(store, heads=1)).notes
    assert any(note.startswith("4 of 4 examples have another prompt") for note in notes)


def test_of_several_training_prompts_none_is_compared(tmp_path) -> None:
    selection = select(store_of(tmp_path / "a", ["A?", "B?"] * 2, ["A?"] * 4), heads=1)
    result = evaluate(store_of(tmp_path / "b", ["A?", "B?"] * 3, ["C?"] * 4), selection)
    assert not any("prompt" in note for note in result.notes)


def test_a_selection_of_other_examples_is_not_older_than_a_store(tmp_path) -> None:
    store = store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4)
    selection = select(store, heads=1)
    changed = label(store, {"train:0": "b"}).store.manifest
    assert "labels or files changed" in older_note(selection, changed)[0]
    other = replace(selection, train="0" * 64)
    assert appended_since(other, changed) == 0
    assert older_note(other, changed) == []
    # of labels that came to test examples alone: all that is planned for training came since
    (note,) = older_note(replace(selection, train=f"{LABELS}{'0' * 64}"), changed)
    assert "store: 4 training examples were appended since" in note


@pytest.mark.parametrize(("rows", "text"), [(1, "1 training example was"), (3, "3 training examp")])
def test_only_the_examples_that_came_since_count_as_appended(tmp_path, rows, text) -> None:
    store = store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4)
    selection, manifest = select(store, heads=1), store.manifest
    plan = manifest.plan.splits["train"]
    more = replace(plan.segments[0], rows=rows, digest="0" * 64)
    ids = (*plan.ids, *(f"new:{n}" for n in range(rows)))
    grown = replace(plan, ids=ids, segments=(*plan.segments, more))
    splits = {**manifest.plan.splits, "train": grown}
    manifest = replace(manifest, plan=replace(manifest.plan, splits=splits))
    assert appended_since(selection, store.manifest) == 0
    assert appended_since(selection, manifest) == rows
    assert text in older_note(selection, manifest)[0]


def test_each_change_of_a_training_example_counts_and_none_of_another_split(tmp_path) -> None:
    manifest = store_of(tmp_path / "a", ["Cat?"] * 4, ["Cat?"] * 4).manifest

    def changed(split: str, to: str | None = "train", **other: str | None) -> list[str]:
        row = PlacedRow(f"{split}:0", to, **{"label": "b", **other})
        return labels_digest(replace(manifest, rows={split: {f"{split}:0": row}}))

    cases = [{}, {"label": "a"}, {"group": "g"}, {"to": "test"}, {"to": None}]
    found = [*(changed("train", **one) for one in cases), changed("test")]
    assert len({*map(tuple, found)}) == len(found)
    assert changed("test", to="test") == changed("test", to=None) == []
