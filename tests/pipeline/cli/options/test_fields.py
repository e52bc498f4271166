"""Fields of options objects as options of a command."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypedDict, get_args

import pytest
import typer

from savs.foundation.errors import SavsError
from savs.pipeline.cli.options.fields import (
    CLASSES,
    OPTIONS,
    parameters_of_fields,
    take_fields,
)
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.option_texts import PERMISSIONS


class Some(TypedDict, total=False):
    """Two fields."""

    limit: int | None
    media_root: str | Path | None


PYTHON_ALONE = {
    *("strict", "placeholders", "batch_tokens", "batch_check", "reuse", "tower_attention"),
    *("slices", "pooling", "workers", "shard_rows", "engine", "ranks", "compare_with"),
}
"""What a run decides by itself, or `--site` and `--engine` say."""
PARAMETERS = {p.name: p for kind in CLASSES for p in parameters_of_fields(kind)}


def objects_of(**given: object) -> list[object]:
    """Return the options objects of what a shell has given."""
    values = {name: parameter.default for name, parameter in PARAMETERS.items()} | given
    return [kind(**take_fields(kind, values)) for kind in CLASSES]


def test_every_field_is_an_option_or_filled_by_one_or_a_permission_or_pythons_alone():
    fills = {name for option in OPTIONS.values() for name in option.fills}
    allowed = {name for one in PERMISSIONS.values() for name in (one.field, one.amount)}
    for kind in CLASSES:
        for field in fields(kind):
            ways = [field.name in PARAMETERS, field.name in fills, field.name in allowed]
            assert sum(ways) == 1 or (sum(ways) == 0 and field.name in PYTHON_ALONE), field.name


def test_types_and_defaults_are_those_of_the_fields():
    found = PARAMETERS
    for kind in CLASSES:
        for field in fields(kind):
            if field.name in found:
                default = found[field.name].default
                expected = inspect.Parameter.empty if field.default is MISSING else field.default
                assert default == expected, field.name
    assert get_args(found["media_root"].annotation)[0] == str | None
    assert get_args(found["batch_size"].annotation)[0] == int | None
    assert get_args(found["dtype"].annotation)[0] is str
    option = get_args(found["device"].annotation)[1]
    assert (option.default, *option.param_decls) == ("--device", "--device-map")


def test_a_command_gets_the_objects():
    inputs, model, run = objects_of(
        test="t.jsonl",
        model="demo",
        shots="5",
        seed=3,
        columns=["label=class"],
        answers="labels",
        model_kwargs='{"a": 1}',
    )
    assert (inputs.test, inputs.columns) == ("t.jsonl", {"label": "class"})
    assert (inputs.shots, inputs.seed) == (5, 3)
    assert (model.model, model.model_kwargs, run) == (
        "demo",
        {"a": 1},
        RunOptions(answers="labels"),
    )


def test_a_typed_dict_takes_some_of_the_fields():
    assert [one.name for one in parameters_of_fields(Some)] == ["limit", "media_root"]
    given = {"other": 1, "limit": "2", "media_root": "d"}
    assert take_fields(Some, given) == {"limit": 2, "media_root": "d"}
    assert given == {"other": 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "int8"}, "no dtype is called 'int8'"),
        ({"answers": "all"}, "`answers` is 'all', expected labels, generate"),
        ({"model_kwargs": "{"}, "`model_kwargs` is '{', which is not JSON"),
        ({"model_kwargs": "[1]"}, "`model_kwargs` is '[1]', expected an object"),
    ],
    ids=["dtype", "answers", "no JSON", "no object"],
)
def test_a_value_that_cannot_be_is_a_usage_error(wrong, message):
    with pytest.raises((typer.BadParameter, SavsError)) as caught:
        objects_of(**{"test": "t", "model": "demo"} | wrong)
    assert str(caught.value).startswith(message)
