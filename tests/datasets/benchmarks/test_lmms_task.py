"""Task files of lmms-eval: columns and templates are read, functions are refused and never run."""

import json
import sys

import pytest

from savs.datasets import OptionError, RowError, read_examples
from savs.datasets.benchmarks.lmms_task import lmms_task
from savs.pipeline.plugins.benchmark import choose_benchmark

pytest.importorskip("yaml")
TASK = """
task: shelf
dataset_path: owner/shelf
dataset_name: small
test_split: val
doc_to_visual: photo
doc_to_text: "{{ ask }} Options: {{options}}."
doc_to_target: "{{answer}}"
metric_list:
  - metric: exact_match
    aggregation: !function utils.mean
"""
FUNCTIONS = """
include: base_yaml
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
"""
BASE = """
doc_to_target: answer
lmms_eval_specific_kwargs:
  default: {pre_prompt: "Look: ", post_prompt: "\\nOne word."}
  other: {pre_prompt: "no"}
"""
ROW = {"photo": "1.png", "ask": "Which?", "options": "a or b", "answer": 3, "more": True}


def written(folder, text, name="task.yaml"):
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return path


def test_columns_and_templates_become_a_prompt(tmp_path, rows):
    benchmark = lmms_task(written(tmp_path, TASK))
    (example,) = read_examples(benchmark, rows, "test")
    assert example.prompt == "Which? Options: a or b."
    assert (example.label, example.media) == ("3", ("1.png",))
    assert example.extra == {"more": True}
    assert benchmark.name == "general"
    assert benchmark.options == {
        "columns": {"image": "photo", "label": "answer"},
        "prompt": "{{ ask }} Options: {{options}}.",
    }
    assert benchmark.about is not None
    assert benchmark.about.files == "--test 'hf://owner/shelf/small/val-*.parquet'"


@pytest.mark.parametrize(
    ("text", "prompt"), [("ask", "Which?"), ("What is it?", "What is it?"), ('"a\\n"', "a")]
)
def test_a_column_or_plain_text_is_a_prompt(tmp_path, rows, text, prompt):
    task = TASK.replace('"{{ ask }} Options: {{options}}."', text)
    (example,) = read_examples(lmms_task(written(tmp_path, task)), rows, "test")
    assert example.prompt == prompt


def test_functions_are_refused_and_never_run(tmp_path, monkeypatch):
    written(tmp_path, BASE, "base_yaml")
    written(tmp_path, "raise SystemExit('it ran')", "utils.py")
    path = written(tmp_path, FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for columns, key, field in (
        (None, "doc_to_visual is the function 'utils.visual'", "image"),
        ({"image": "photo"}, "doc_to_text is the function 'utils.text'", "question"),
    ):
        with pytest.raises(OptionError, match=f"{key}, which is code.*--column {field}=NAME"):
            lmms_task(path, columns)
    assert "utils" not in sys.modules


def test_a_column_in_place_of_a_function_has_the_words_of_the_task_around_it(tmp_path, rows):
    written(tmp_path, BASE, "base_yaml")
    path = written(tmp_path, FUNCTIONS)
    given = {"image": "photo", "question": "ask"}
    (example,) = read_examples(choose_benchmark(path, columns=given), rows, "test")
    assert example.prompt == "Look: Which?\nOne word."
    asked = choose_benchmark(path, columns={"image": "photo"}, question="Same?")
    (example,) = read_examples(asked, rows, "test")
    assert example.prompt == "Same?"
    with pytest.raises(OptionError, match="takes one --question, 2 given"):
        choose_benchmark(path, columns=given, question=["a?", "b?"])


def test_a_missing_column_names_the_row(tmp_path, rows):
    benchmark = lmms_task(written(tmp_path, TASK.replace("{{options}}", "{{choices}}")))
    with pytest.raises(RowError, match=r"rows\.jsonl line 1: field 'choices' is missing"):
        read_examples(benchmark, rows, "test")


BAD = {
    "jinja": (TASK.replace("{{options}}", "{{options | upper}}"), "and no other Jinja"),
    "block": (TASK.replace("{{options}}", "{% if x %}"), "and no other Jinja"),
    "label": (TASK.replace("{{answer}}", "{{a}} {{b}}"), "doc_to_target is '{{a}} {{b}}'"),
    "no text": (TASK.replace("doc_to_text", "x"), "doc_to_text is missing"),
    "tag": (
        TASK + "x: !!python/object/apply:os.system [ls]\n",
        "could not determine a constructor",
    ),
    "no integer": (TASK + 'x: !!int ""\n', "cannot be read as a task"),
    "no switch": (TASK + "x: !!bool x\n", "cannot be read as a task"),
    "no time": (TASK + "x: !!timestamp x\n", "cannot be read as a task"),
    "list": ("- a\n", "it holds a list"),
    "yaml": ("a: [", "cannot be read as a task of lmms-eval"),
    "circle": ("include: task.yaml\n", "it is too large, or includes itself"),
    "outside": (
        "include: ../task.yaml\n",
        "include is '../task.yaml', expected the name of a file",
    ),
    "absent": ("include: other\n", "other cannot be read as a task of lmms-eval: No such file"),
}


def test_a_value_that_aliases_make_long_is_told_in_short(tmp_path):
    lines = ["a: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 8)}]" for n in range(9)]
    text = "\n".join([*lines, TASK.replace("{{answer}}", "*a9").replace('"*a9"', "*a9")])
    with pytest.raises(OptionError, match="doc_to_target is") as refused:
        lmms_task(written(tmp_path, text))
    assert len(str(refused.value)) < 1000


def test_a_question_and_its_column_are_refused_together(tmp_path):
    with pytest.raises(OptionError, match="question"):
        lmms_task(written(tmp_path, TASK), {"question": "ask"}, "Same?")


@pytest.mark.parametrize("name", BAD)
def test_other_files_are_refused(tmp_path, name):
    text, message = BAD[name]
    with pytest.raises(OptionError, match=message.replace("{", r"\{")):
        lmms_task(written(tmp_path, text))


def test_the_command_says_how_to_go_on(savs, tmp_path):
    written(tmp_path, FUNCTIONS.replace("include: base_yaml", ""), "mme.yaml")
    done = savs("benchmarks", "mme.yaml")
    assert done.returncode == 1
    assert "--column image=NAME" in done.stderr
    written(tmp_path, TASK)
    shown = savs("benchmarks", "task.yaml")
    assert "hf://owner/shelf/small/val-*.parquet" in shown.stdout
