"""Classify loads no layer after the deepest chosen head, and knows the ones it loads."""

import shutil

import pytest
from polars.testing import assert_frame_equal
from safetensors.torch import load_file, save_file

from savs import classify, save_selection, select
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import ModelError, SelectionError
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.placement import find_placement
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def shallow(made, tmp_path_factory):
    """Return a classifier of heads in the first two layers of six."""
    selection = select(made.store, heads=6, max_layer=1)
    assert max(layer for layer, _ in selection.heads) == 1
    return save_selection(selection, tmp_path_factory.mktemp("shallow"))


@pytest.fixture
def held(monkeypatch):
    """Return the models that runs load."""
    models, load = [], ModelRun._load

    def keep(self, checked):
        loaded = load(self, checked)
        models.append(self.whole)
        return loaded

    monkeypatch.setattr(ModelRun, "_load", keep)
    return models


def test_predictions_are_those_of_the_whole_model(made, shallow, held, monkeypatch) -> None:
    said: list[str] = []
    found = classify(shallow, made.table, reporting=Reporting(said.append)).predictions
    told = "decoder layers, up to the deepest chosen head: 67 % of the decoder are left out"
    assert f"loads and runs 2 of 6 {told}" in said
    monkeypatch.setattr(ModelRun, "_load_first_layers", lambda *_: None)
    whole = classify(shallow, made.table, reporting=Reporting(said.append)).predictions
    assert_frame_equal(found, whole)
    assert f"runs 2 of 6 {told}" in said
    few, all_of_them = ({n for n, _ in m.model.named_parameters()} for m in held)
    behind = {name for name in all_of_them if any(f"layers.{n}." in name for n in (2, 3, 4, 5))}
    assert few == all_of_them - {name for name in behind if "language_model" in name}
    assert len(few) < len(all_of_them)


def test_weights_of_a_layer_that_would_not_be_loaded_are_compared(made, shallow, tmp_path) -> None:
    model = shutil.copytree(DEMO_MODEL, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.layers.5.mlp.down_proj.weight"][-1, -1] += 1
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SelectionError, match=r"\n  model\.weights: "):
        classify(shallow, made.table, model=model)


def test_where_few_layers_do_not_run_all_are_loaded(made, shallow, held, monkeypatch) -> None:
    expected = classify(shallow, made.table).predictions

    def load_whole_only(*given, last_layer=None):
        if last_layer is not None:
            raise ModelError("a decoder layer that was not loaded was reached")
        return load(*given)

    monkeypatch.setattr("savs.pipeline.extraction.model_run.load", load_whole_only)
    sized = []
    monkeypatch.setattr(
        "savs.pipeline.extraction.model_run.find_placement",
        lambda *given, last_layer: sized.append(last_layer) or find_placement(*given),
    )
    said: list[str] = []
    found = classify(shallow, made.table, reporting=Reporting(said.append)).predictions
    assert any(line.startswith("all layers are loaded, since the model does not") for line in said)
    assert [model.grid[-1].layer for model in held] == [1, 5]
    assert sized == [1, None]  # each is put where it fits
    assert_frame_equal(found, expected)


def test_a_whole_model_stops_at_the_deepest_chosen_head(made, shallow, monkeypatch) -> None:
    ran: set[int] = set()

    def load_and_watch(*given, **more):
        model = load(*given, **more)
        for point in model.hook_points:
            point.module.register_forward_hook(lambda *_, n=point.grid.layer: ran.add(n))
        return model

    monkeypatch.setattr(ModelRun, "_load_first_layers", lambda *_: None)
    monkeypatch.setattr("savs.pipeline.extraction.model_run.load", load_and_watch)
    classify(shallow, made.images[:2], subtask="animal")
    assert ran == {0}  # of layer 1 the heads are read, before they are projected
