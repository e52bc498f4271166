"""Fields of options objects as options of a command."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, TypedDict, get_args

import pytest
import typer

from savs.pipeline.cli.options.fields import CLASSES, OPTIONS, PARSERS, expand_options
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions


class Some(TypedDict, total=False):
    """Two fields."""

    limit: int | None
    media_root: str | Path | None


@expand_options
def command(name: str, inputs: InputOptions, model: ModelOptions, run: RunOptions) -> None:
    given.append((name, inputs, model, run))


given: list[tuple[object, ...]] = []


def test_every_field_is_an_option_or_is_parsed_from_several():
    for kind in CLASSES:
        for field in fields(kind):
            parser = PARSERS.get(field.name)
            names = inspect.signature(parser).parameters if parser else [field.name]
            assert set(OPTIONS[field.name]) == set(names)


def test_types_and_defaults_are_those_of_the_fields():
    found = inspect.signature(command).parameters
    assert next(iter(found)) == "name"
    for kind in CLASSES:
        for field in fields(kind):
            if field.name not in PARSERS:
                default = found[field.name].default
                expected = inspect.Parameter.empty if field.default is MISSING else field.default
                assert default == expected, field.name
    assert get_args(found["media_root"].annotation)[0] == str | None
    assert get_args(found["limit"].annotation)[0] == int | None
    assert get_args(found["dtype"].annotation)[0] is str
    option = get_args(found["device"].annotation)[1]
    assert (option.default, *option.param_decls) == ("--device", "--device-map")


def test_a_command_gets_the_objects():
    named = {p.name: p.default for p in inspect.signature(command).parameters.values()}
    options = named | {"name": "x", "test": "t.jsonl", "model": "demo", "shots": 5, "seed": 3}
    options |= {"column": ["label=class"], "answers": "labels", "model_kwargs": '{"a": 1}'}
    command(**options)
    name, inputs, model, run = given.pop()
    assert (name, inputs.test, inputs.columns) == ("x", "t.jsonl", {"label": "class"})
    assert (inputs.shots, inputs.seed) == (5, 3)
    assert (model.model, model.model_kwargs, run) == (
        "demo",
        {"a": 1},
        RunOptions(answers="labels"),
    )


def test_a_typed_dict_takes_some_of_the_fields():
    taken = []

    @expand_options
    def few(other: Annotated[int, typer.Option()], some: Some) -> None:
        taken.append((other, some))

    assert list(inspect.signature(few).parameters) == ["other", "limit", "media_root"]
    few(other=1, limit=2, media_root="d")
    assert taken == [(1, {"limit": 2, "media_root": "d"})]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "int8"}, "no dtype is called 'int8'"),
        ({"shots": 1, "train_groups": 1}, "`shots` and `train_groups` are two ways to draw"),
        ({"answers": "all"}, "`answers` is 'all', expected labels, generate"),
        ({"model_kwargs": "{"}, "`model_kwargs` is not JSON"),
        ({"model_kwargs": "[1]"}, "`model_kwargs` is '[1]', expected an object"),
    ],
    ids=["dtype", "two ways", "answers", "no JSON", "no object"],
)
def test_a_value_that_cannot_be_is_a_usage_error(wrong, message):
    named = {p.name: p.default for p in inspect.signature(command).parameters.values()}
    with pytest.raises(typer.BadParameter) as caught:
        command(**named | {"name": "x", "test": "t", "model": "demo"} | wrong)
    assert str(caught.value).startswith(message)
