"""Rows that are not perfect: an error that says where, or examples that a store can hold."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from malformed import (
    ABSENT,
    FORMS,
    examples_or_error,
    is_placed,
    json_values,
    parquet_values,
    sample_of,
    texts,
    with_fields,
    write_row,
)

from savs.datasets import BENCHMARKS, Benchmark, DatasetError, Example, MediaError, MediaFolder
from savs.datasets.benchmarks.general import FIELDS, general

pytestmark = pytest.mark.thorough

OWN_COLUMNS = general({field: f"my {field}" for field in FIELDS if field != "images"})
READERS = [*(b for b in BENCHMARKS.values() if b.read_folder is None), OWN_COLUMNS]
IDS = [b.name + (" with columns" if b is OWN_COLUMNS else "") for b in READERS]
MAY_BE_MISSING = {
    ("general", "image"),
    ("general", "my image"),
    ("shapes", "image"),
    ("blink", "answer"),
    ("general", "label"),
    ("general", "my label"),
    ("shapes", "label"),
}
"""Fields that some rows of these benchmarks lack: prompts of text alone, hidden answers."""
some = settings(
    max_examples=settings.default.max_examples // 8, suppress_health_check=list(HealthCheck)
)
"""For each benchmark in each form: 12 in a whole run, 125 by `just fuzz`."""
each_benchmark = pytest.mark.parametrize("benchmark", READERS, ids=IDS)
each_form = pytest.mark.parametrize(
    "form", [pytest.param(f, marks=pytest.mark.costly if f == "json" else ()) for f in FORMS]
)


def outcome(benchmark: Benchmark, form: str, row: dict[str, Any]) -> list[Example] | DatasetError:
    """Return the examples, or the error, of a file of one row."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_row(Path(folder), form, row)
        if path is None:
            reject()
        return examples_or_error(benchmark, path)


def check_storable(examples: Sequence[Example]) -> None:
    """Fail where an example could not be put into a store."""
    assert examples
    for example in examples:
        for text in (example.id, example.label, example.group, example.subtask, example.category):
            assert text is None or (text and text.encode())
        assert example.prompt.encode()
        for name in example.media:
            assert name
            assert name.encode()
            with pytest.raises(MediaError):  # it is not there: what a run counts as skipped
                MediaFolder(Path("/nowhere at all")).read(name)
        json.dumps(dict(example.extra), ensure_ascii=False, allow_nan=False).encode()


def values_in(form: str) -> st.SearchStrategy[Any]:
    return {"parquet": parquet_values, "csv": texts}.get(form, json_values)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@each_benchmark
@each_form
@some
@given(data=st.data())
def test_a_malformed_row_is_refused_with_its_place_or_read_whole(benchmark, form, data) -> None:
    names = st.sampled_from([*sample_of(benchmark), *benchmark.columns, "note", ""])
    cells = st.one_of(st.just(ABSENT), st.none(), values_in(form))
    fields = data.draw(st.dictionaries(names, cells, min_size=1, max_size=3))
    found = outcome(benchmark, form, with_fields(sample_of(benchmark), fields))
    if isinstance(found, DatasetError):
        assert is_placed(found, form), found
    else:
        check_storable(found)


@each_benchmark
@each_form
@some
@given(data=st.data())
def test_a_value_is_not_read_as_absent_or_as_another(benchmark, form, data) -> None:
    sample = sample_of(benchmark)
    name = data.draw(st.sampled_from(sorted(sample.keys() & benchmark.columns.keys())))
    value = data.draw(values_in(form).filter(lambda value: value is not None and value != ""))
    plain = outcome(benchmark, form, sample)
    absent = outcome(benchmark, form, with_fields(sample, {name: ABSENT}))
    present = outcome(benchmark, form, with_fields(sample, {name: value}))
    if absent == plain or isinstance(present, DatasetError):
        return  # of no account, or refused
    assert present != absent
    assert present != plain or as_text(value) == as_text(sample[name])


@each_benchmark
@pytest.mark.parametrize("value", [ABSENT, None, ""], ids=["absent", "null", "empty"])
def test_a_field_that_is_missing_changes_no_prompt(benchmark, value) -> None:
    sample = sample_of(benchmark)
    plain = outcome(benchmark, "jsonl", sample)
    for name in sample.keys() - {n for b, n in MAY_BE_MISSING if b == benchmark.name}:
        found = outcome(benchmark, "jsonl", with_fields(sample, {name: value}))
        if not isinstance(found, DatasetError):
            assert [(e.label, e.prompt, e.media) for e in found] == [
                (e.label, e.prompt, e.media) for e in plain
            ], name
