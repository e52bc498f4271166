"""Held-out groups: what is tested, what is trained on, and what is refused."""

import json

import pytest

from savs.datasets import find_benchmark
from savs.datasets.benchmarks.options import adapt
from savs.datasets.errors import OptionError
from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source

ROWS = [
    {"question": f"Is {n} even?", "label": ("yes", "no")[n % 2], "camera": n % 3, "night": n > 8}
    for n in range(12)
]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))

    def make(split="train", columns=None, **options):
        inputs = InputOptions(**{split: path}, columns=columns, **options)
        return Source(adapt(find_benchmark("general"), columns=columns), inputs).examples()

    return make


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_with_the_value_are_tested_and_the_others_trained_on(source, split):
    splits = source(split, hold_out=["camera=1"])
    assert [e.id for e in splits["test"]] == ["rows:1", "rows:4", "rows:7", "rows:10"]
    assert len(splits["train"]) == 8
    assert {e.split for e in splits["train"]} == {"train"}
    assert {e.split for e in splits["test"]} == {"test"}


def test_several_values_are_all_held_out_and_shots_come_from_the_rest(source):
    splits = source(hold_out=["camera=1", "night=true"], shots=1)
    assert {e.id for e in splits["test"]} == {f"rows:{n}" for n in (1, 4, 7, 9, 10, 11)}
    assert len(splits["train"]) == 2
    assert not {e.id for e in splits["train"]} & {e.id for e in splits["test"]}


def test_a_column_that_is_read_as_a_field_goes_by_its_own_name(source):
    splits = source(columns={"group": "camera"}, hold_out=["camera=2"])
    assert {e.group for e in splits["test"]} == {"2"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["camera"], "is 'camera', expected COLUMN=VALUE"),
        (["camera="], "expected COLUMN=VALUE"),
        (["=7"], "expected COLUMN=VALUE"),
        (["camera=7"], r"no row has '7' in 'camera'; it has '0', '1', '2'"),
        (["lens=1"], r"no row has a column 'lens'; they have camera, night, label"),
        (["camera=0", "camera=1", "camera=2"], "holds out all 12 rows"),
    ],
)
def test_what_no_row_has_is_named(source, wanted, message):
    with pytest.raises(OptionError, match=message):
        source(hold_out=wanted)


def test_one_file_is_split():
    for files in ({}, {"train": "a", "test": "b"}):
        with pytest.raises(ParameterError, match="`hold_out` splits the rows of one file"):
            InputOptions(hold_out=["a=b"], **files)
