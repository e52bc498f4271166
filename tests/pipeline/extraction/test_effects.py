"""What options do to a store is derived from their fields: a new option needs no list elsewhere."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, get_type_hints

import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.feature_cache import features_key
from savs.pipeline.classifying.model_match import recorded_values
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.effects import NOTHING, Effect, fields_in_identity
from savs.pipeline.extraction.model.identity import model_settings
from savs.pipeline.extraction.model.model_options import ModelOptions, PlacingKeywords
from savs.pipeline.extraction.recorded_options import recorded_options
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.options import Option, check_values


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOptions(ModelOptions):
    """Options of a model with four more."""

    sharpness: Annotated[int, Option(min=0)] = 1
    scale: float | None = None
    spare: Annotated[int, Effect(NOTHING)] = 0
    secret: Annotated[str | None, Effect(NOTHING, is_recorded=False)] = None


def settings_of(options: ModelOptions) -> dict[str, object]:
    code = SimpleNamespace(digest=None)
    encoder = SimpleNamespace(
        code=code, adapter_files=None, form=None, embedding=None, image_mark=None
    )
    return model_settings(options, encoder)  # type: ignore[arg-type]


def test_a_new_option_is_in_the_identity_of_a_store_where_it_is_not_the_default() -> None:
    assert settings_of(NewOptions(model="demo", sharpness=2)) == {"sharpness": 2}
    assert settings_of(NewOptions(model="demo", spare=2, secret="x")) == {}


def test_a_new_option_is_in_the_key_of_kept_features() -> None:
    default, sharp, spare = (
        features_key(NewOptions(model="demo", **given), "Which?", {}, [])
        for given in ({}, {"sharpness": 2}, {"spare": 2})
    )
    assert sharp != default == spare


def test_a_new_option_is_recorded_unless_it_says_otherwise() -> None:
    model = NewOptions(model="demo", sharpness=2, spare=3, secret="x")
    recorded = recorded_options("general", InputOptions(), model, RunOptions())
    assert recorded == {"benchmark": "general", "model": "demo", "sharpness": 2, "spare": 3}


def test_a_classifier_hands_on_a_new_option_within_its_bounds(monkeypatch) -> None:
    monkeypatch.setattr("savs.pipeline.classifying.model_match.ModelOptions", NewOptions)
    for facts in ({"sharpness": 0}, {"scale": 0.5}, {"scale": 0}, {"placeholders": "keep"}):
        assert recorded_values({"name": "demo"} | facts) == facts
    for wrong in ({"sharpness": -1}, {"sharpness": 0.5}, {"sharpness": True}, {"scale": "1"}):
        with pytest.raises(SelectionError, match=f"records {next(iter(wrong))} as "):
            recorded_values(wrong)


def test_what_the_identity_has_by_its_value_may_come_from_a_classifier() -> None:
    """It names no file and no code: who wrote the classifier may choose it."""
    hints, named = get_type_hints(ModelOptions), fields_in_identity(ModelOptions)
    assert "placeholders" in named
    assert not {*named} & {*PlacingKeywords.__annotations__}
    assert not [name for name in named if "Path" in str(hints[name])]


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number and a choice."""

    number: Annotated[int | None, Option(level="python", min=2)] = None
    way: Annotated[str | None, Option(level="python", choices=("a", "b"))] = None


def test_bounds_stand_at_the_field() -> None:
    check_values(Bounded())
    check_values(Bounded(2, "b"))
    with pytest.raises(ParameterError, match=r"^`number` is 1, expected at least 2$"):
        check_values(Bounded(1))
    with pytest.raises(ParameterError, match=r"^`way` is 'c', expected one of a, b$"):
        check_values(Bounded(way="c"))
