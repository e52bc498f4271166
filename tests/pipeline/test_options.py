"""Options objects, and the flat keyword arguments of the public functions."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypedDict, get_type_hints

import numpy as np
import pytest

from savs import classify, extract
from savs.datasets import find_benchmark
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import ExtractKeywords, check_model, load_model
from savs.pipeline.extraction.model.model_options import (
    ModelKeywords,
    ModelOptions,
    PlacingKeywords,
    ProcessorKeywords,
)
from savs.pipeline.extraction.run_options import BatchKeywords, RunKeywords, RunOptions
from savs.pipeline.inputs.input_options import (
    InputKeywords,
    InputOptions,
    NewImageKeywords,
)
from savs.pipeline.reports.preview.preview import PreviewKeywords, preview
from savs.pipeline.running.options import sort_keywords

CLASSES = {
    InputOptions: (InputKeywords, set()),
    ModelOptions: (ModelKeywords, {"model"}),
    RunOptions: (RunKeywords, set()),
}
"""Options object -> its keywords, and the fields that a public function names by themselves."""


@pytest.mark.parametrize("kind", CLASSES)
def test_keywords_are_the_fields_that_have_a_default(kind):
    keywords, needed = CLASSES[kind]
    hints = get_type_hints(kind)
    assert {f.name for f in fields(kind) if f.default is MISSING} == needed
    assert get_type_hints(keywords) == {n: hint for n, hint in hints.items() if n not in needed}
    assert keywords.__required_keys__ == frozenset()  # so each default is that of the field


@pytest.mark.parametrize(
    ("keywords", "kind"),
    [
        (ProcessorKeywords, ModelOptions),
        (NewImageKeywords, InputOptions),
        (PlacingKeywords, ModelOptions),
        (BatchKeywords, RunOptions),
    ],
)
def test_some_of_the_keywords_are_some_of_the_fields(keywords, kind):
    assert get_type_hints(keywords).items() <= get_type_hints(kind).items()


def test_the_keywords_of_a_function_are_those_of_its_options():
    parts = [get_type_hints(kind) for kind in (InputKeywords, ModelKeywords, RunKeywords)]
    assert get_type_hints(ExtractKeywords) == {k: v for part in parts for k, v in part.items()}
    assert get_type_hints(PreviewKeywords) == get_type_hints(InputKeywords) | get_type_hints(
        ProcessorKeywords
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda **more: extract("general", test="t", model="demo", out="o", **more), "extract"),
        (lambda **more: preview("general", test="t", out="o.html", **more), "preview"),
        (lambda **more: classify("c", "i.jpg", **more), "classify"),
        (lambda **more: load_model("demo", **more), "load_model"),
        (lambda **more: check_model("demo", **more), "check_model"),
    ],
    ids=["extract", "preview", "classify", "load_model", "check_model"],
)
def test_an_unknown_keyword_is_told_with_the_nearest_one(call, message):
    with pytest.raises(TypeError, match=rf"^{message}\(\) has no argument 'mediaroot'"):
        call(mediaroot="photos")


def test_the_nearest_keyword_is_offered():
    with pytest.raises(TypeError, match=r"no argument 'revison'; did you mean revision\?$"):
        load_model("demo", revison="main")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no argument 'xyz'; it takes model, revision, dtype"):
        load_model("demo", xyz=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": "8"}, "batch_size is '8', expected int"),
        ({"limit": 2.5}, "limit is 2.5, expected int | None"),
        ({"shots": True}, "shots is True, expected int | None"),  # else one of each class
        ({"shots": "20"}, "shots is '20', expected int | None"),
        ({"columns": "label=class"}, "columns is 'label=class', expected .*Mapping"),
        ({"fetch_urls": "yes"}, "fetch_urls is 'yes', expected bool"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_value_of_another_type_is_refused_by_its_name(wrong, message):
    with pytest.raises(ParameterError, match=rf"^extract\(\): {message}"):
        extract("general", test="t", model="demo", out="o", **wrong)


def test_paths_and_numbers_of_numpy_are_taken():
    values = {"test": Path("t"), "limit": np.int64(3), "shots": np.int32(2), "columns": {}}
    (inputs,) = sort_keywords("extract", values, InputOptions)
    assert inputs == InputOptions(**values)


def test_a_whole_number_is_taken_for_a_float() -> None:
    class Fractions(TypedDict, total=False):
        share: float

    for number in (1, 0.5, np.int64(1), np.float32(0.5)):
        assert sort_keywords("f", {"share": number}, Fractions) == [{"share": number}]
    for wrong in (True, "1"):
        with pytest.raises(ParameterError, match=r"^f\(\): share is .*, expected float$"):
            sort_keywords("f", {"share": wrong}, Fractions)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dtype": "int8"}, "no dtype is called 'int8'; there are: auto, bfloat16"),
        ({"placeholders": "both"}, "`placeholders` is 'both', expected split or keep"),
        ({"min_pixels": 900, "max_pixels": 800}, "`min_pixels` is 900, more than max_pixels, 800"),
        ({"model_kwargs": {"torch_dtype": "x"}}, "model_kwargs has 'torch_dtype'; give `dtype`"),
        ({"min_pixels": 2**40}, "`min_pixels` is 1,099,511,627,776, expected .* at most"),
        ({"ranks": 0, "engine": "vllm"}, "`ranks`, from 1 on, and `compare_with` are for"),
        ({"ranks": 2}, "`ranks`, from 1 on, and `compare_with` are for"),
        ({"prompt_template": "t", "embedding": "e"}, ".* its own; drop `prompt_template`"),
        ({"model_code": "c", "embedding": "e"}, ".* its own; drop `model_code`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_model_option_that_cannot_be_is_refused_before_anything_is_loaded(given, message):
    with pytest.raises(ModelError, match=f"^{message}"):
        ModelOptions(model="no/such", **given)


def test_a_number_out_of_its_range_is_refused_by_the_field() -> None:
    with pytest.raises(ParameterError, match=r"^`max_pixels` is 0, expected at least 1$"):
        ModelOptions(model="no/such", max_pixels=0)


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        (InputOptions, {"shots": 2, "train_groups": 1}, "are two ways to draw; give one"),
        (InputOptions, {"task": "regression", "shots": 2}, "`shots` are drawn per class"),
        (RunOptions, {"icl_shots": 2, "answers": "generate"}, "needs the labels' likelihoods"),
        (RunOptions, {"icl_shots": 2, "answers": "labels"}, None),
        (RunOptions, {"site": "mlp,residual", "heads": "h"}, "names several; give one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_options_that_rule_each_other_out_are_refused(options, given, message) -> None:
    if message is None:
        options(**given)
    else:
        with pytest.raises(ParameterError, match=message):
            options(**given)


def test_a_benchmark_of_python_is_recorded_by_its_name(monkeypatch) -> None:
    names = []
    run = "savs.pipeline.extraction.run_extraction.run_extraction"
    monkeypatch.setattr(run, lambda *_, name, **__: names.append(name))
    for benchmark in (find_benchmark("blink"), "blink"):
        extract(benchmark, test="t", model="demo", out="o")
    assert names == [None, "blink"]
