"""What each benchmark says of itself, and the row that it shows."""

import pytest

from savs.datasets import BENCHMARKS
from savs.datasets.rows.examples import escaped, sample_fields

TOLD = [benchmark for benchmark in BENCHMARKS.values() if benchmark.about is not None]


def test_all_benchmarks_of_savs_tell_of_themselves():
    assert [b.name for b in BENCHMARKS.values() if b.about is None] == []


@pytest.mark.parametrize("benchmark", TOLD, ids=lambda b: b.name)
def test_the_sample_row_is_read_and_no_fact_is_empty(benchmark):
    fields = sample_fields(benchmark)
    assert fields
    assert all(f.label and f.prompt.strip() for f in fields)
    about = benchmark.about
    assert about.metrics
    facts = (about.task, about.sizes, about.source, about.licence, about.files, *about.metrics)
    for text in facts:
        assert text == text.strip()
        assert text


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
