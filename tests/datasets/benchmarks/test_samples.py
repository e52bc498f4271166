"""What each benchmark says of itself, the row that it shows, and the captions in its prompt."""

from dataclasses import replace

import pytest

from savs.datasets import BENCHMARKS, BenchmarkFaultError
from savs.datasets.rows.examples import escaped, sample_fields
from savs.datasets.rows.plugin_guard import read_captions


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=lambda b: b.name)
def test_the_sample_row_is_read_and_no_fact_is_empty(benchmark):
    fields = sample_fields(benchmark)
    assert fields
    assert all(f.label and f.prompt.strip() for f in fields)
    about = benchmark.about
    assert about.metrics
    facts = (about.task, about.sizes, about.source, about.licence, about.files, *about.metrics)
    assert all(text and text == text.strip() for text in facts)


PROMPTS = {  # the wording of the public reference, written out
    "general": "Is the animal in the picture asleep?",
    "naturalbench": "Is the dog on the sofa?\nPlease answer Yes or No.",
    "naturalbench-retrieval": "\nDoes this image show 'A dog sleeps on a sofa.'?"
    " Answer with Yes or No.",
}


@pytest.mark.parametrize("name", PROMPTS)
def test_the_prompt_of_the_sample_row(name):
    assert sample_fields(BENCHMARKS[name])[0].prompt == PROMPTS[name]


def test_escaped_text_can_be_read_back():
    text = 'a\\n\n\tb\r"é"\\'
    assert "\n" not in escaped(text)
    assert escaped(text).encode("latin-1").decode("unicode_escape") == text


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
