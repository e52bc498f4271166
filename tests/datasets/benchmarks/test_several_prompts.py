"""Each example under several prompts: ids, subtasks, metrics, and what is refused."""

import polars as pl
import pytest

from savs.datasets import Example, OptionError, RowError, find_benchmark
from savs.datasets.benchmarks.options import (
    adapt,
    as_stored,
    prompt_accuracies,
    stored_prompts,
    under_each_prompt,
    under_one_prompt,
    without_prompt,
)

ASKED = ("Cat?", "Dog?")
GENERAL = find_benchmark("general")


def example(name="a", index=0, **more):
    given = {"label": "x", "prompt": "Cat?", "media": ("a.png",), "split": "train"}
    return Example(id=name, index=index, **given | more)


def test_an_example_is_there_once_a_prompt_side_by_side():
    found = under_each_prompt([example("a", 0), example("b#1", 3)], ASKED)
    assert [(e.id, e.index, e.prompt, e.subtask) for e in found] == [
        ("a#1", 0, "Cat?", "Cat?"),
        ("a#2", 1, "Dog?", "Dog?"),
        ("b#1#1", 6, "Cat?", "Cat?"),
        ("b#1#2", 7, "Dog?", "Dog?"),
    ]
    ids = pl.Series("id", [e.id for e in found])
    assert without_prompt(ids).to_list() == ["a", "a", "b#1", "b#1"]


def test_media_follow_the_marks_of_each_prompt():
    """A sound and an image in the order of another prompt would be read as each other."""
    one = example(prompt="Is <audio> the sound of <image>?", media=("a.wav", "a.png"))
    prompts = (one.prompt, "Does <image> fit <audio>?", "What is it?")
    found = [(e.prompt, e.media, e.columns) for e in under_each_prompt([one], prompts)]
    assert found == [
        (prompts[0], ("a.wav", "a.png"), ("audio", "image")),
        (prompts[1], ("a.png", "a.wav"), ("image", "audio")),
        ("<audio>What is it?", ("a.png", "a.wav"), ("image", "audio")),
    ]


@pytest.mark.parametrize(
    ("subtask", "prompts", "message"),
    [
        ("s", ASKED, "'a' has the subtask 's', but with several questions"),
        (None, ["A", "<image><image>B"], "'a' under the question '<image><image>B':.*use one"),
    ],
)
def test_an_example_that_fits_no_prompt_is_refused(subtask, prompts, message):
    with pytest.raises(RowError, match=message):
        under_each_prompt([example(subtask=subtask)], prompts)


def test_both_benchmarks_record_all_prompts():
    for name in ("general", "image-folder"):
        found = adapt(find_benchmark(name), question=ASKED)
        assert found.prompts == ASKED
        assert found.options == {"questions": ["Cat?", "Dog?"]}
    mapped = adapt(GENERAL, {"label": "class"}, ASKED)
    one = adapt(GENERAL, question=["Cat?"])
    assert (one.prompts, one.options) == ((), {"question": "Cat?"})
    assert mapped.options == {"columns": {"label": "class"}, "questions": ["Cat?", "Dog?"]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["A", "B", "A"], "'A' is given twice"),
        (["A", " "], "one of the questions is empty"),
        ([], "there are no questions"),
    ],
)
def test_prompts_that_make_no_sense_are_refused(asked, message):
    with pytest.raises(OptionError, match=message):
        adapt(GENERAL, question=asked)


def test_a_store_tells_its_prompts_where_the_benchmark_has_them():
    options = {"questions": list(ASKED)}
    facts = {"name": "general", "options": options}
    assert as_stored(GENERAL, facts).prompts == stored_prompts(facts) == ASKED
    assert stored_prompts({"name": "mine", "options": options}) == ()
    assert as_stored(GENERAL, {"name": "general", "options": {"question": "A"}}) is GENERAL


def test_no_metric_mixes_prompts():
    rows = {
        "subtask": ["Cat?", "Dog?"] * 3,
        "label": ["x", "x", "x", "x", "y", "y"],
        "correct": [True, False, True, False, False, True],
        "cluster": list("aabbcc"),
    }
    classes = dict.fromkeys(ASKED, ("x", "y"))
    found = prompt_accuracies(pl.DataFrame(rows), classes)
    assert [(units.name, units.scores["score"].to_list()) for units in found] == [
        ("accuracy, Cat?", [1, 1, 0]),
        ("accuracy, Dog?", [0, 0, 1]),
        ("balanced accuracy, Cat?", [1, 1, 0]),
        ("balanced accuracy, Dog?", [0, 0, 1]),
    ]
    assert found[2].scores["stratum"].to_list() == ["x", "x", "y"]


def test_examples_under_one_prompt_are_those_of_the_file():
    rows = pl.DataFrame({"id": ["a#1", "a#2"], "subtask": list(ASKED)})
    once = under_one_prompt(rows, ASKED)
    assert once.rows() == [("a", None)]
    assert under_one_prompt(rows, ()) is rows
