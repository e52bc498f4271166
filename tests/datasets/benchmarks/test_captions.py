"""Benchmarks of captions give what a dual encoder compares an image with."""

from dataclasses import replace

import pytest

from savs.datasets import BENCHMARKS, BenchmarkFaultError
from savs.datasets.rows.examples import sample_fields
from savs.datasets.rows.plugin_guard import read_captions

SAID = {
    "naturalbench-retrieval": {"Yes": "A dog sleeps on a sofa."},
    "sugarcrepe": {"Yes": "A cat swats at the plant."},
    "winoground": {"Yes": "an old person kisses a young person"},
    "mmvp": {
        "(a)": "Is the dog facing left or right? Left",
        "(b)": "Is the dog facing left or right? Right",
    },
}


@pytest.mark.parametrize("name", SAID)
def test_the_sample_of_a_benchmark_has_its_captions(name) -> None:
    benchmark = BENCHMARKS[name]
    example = sample_fields(benchmark)[0]
    assert dict(read_captions(benchmark, example.prompt)) == SAID[name]
    assert not read_captions(benchmark, "Is the sky blue?")


def test_captions_in_double_quotes_and_with_quotes_inside_stay_whole() -> None:
    benchmark = BENCHMARKS["naturalbench-retrieval"]
    asked = "\nDoes this image show {}? Answer with Yes or No."
    for text, said in (
        ('"A cat\'s head."', "A cat's head."),
        ("'A sign says 'go'? Yes.'", "A sign says 'go'? Yes."),
        ("a red circle", "a red circle"),
    ):
        assert read_captions(benchmark, asked.format(text)) == {"Yes": said}


def test_other_benchmarks_have_none_and_bad_ones_are_named() -> None:
    benchmark = BENCHMARKS["general"]
    assert read_captions(benchmark, "Does this image show 'a'? Answer with Yes or No.") == {}
    bad = replace(benchmark, captions=lambda prompt: {"Yes": 3})
    with pytest.raises(BenchmarkFaultError, match="expected labels and texts"):
        read_captions(bad, "?")
