"""What the commands print while they run, in their tables, and as a map of heads."""

import io
import json
import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from random_stores import draw_problem, write_problem

from savs import label, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.classified import Classification
from savs.pipeline.classifying.sorted_files import SortedFiles
from savs.pipeline.cli import output
from savs.pipeline.cli.commands import classify
from savs.pipeline.cli.output import (
    print_json,
    progress,
    say,
    skipped_examples,
    skipped_messages,
)
from savs.pipeline.evaluation.overview import show
from savs.pipeline.evaluation.tables import selection_table
from savs.pipeline.selection.head_map import HEAD_MAP_SCHEMA, draw_map, head_map
from savs.pipeline.targets.one import ONE_CLASS
from stores import make_store


def test_progress_says_no_time_left_before_the_first_example_is_done(capsys, monkeypatch):
    monkeypatch.setattr(output, "LINE_EVERY_S", 0)
    with progress(4) as on_rows:
        on_rows(0)
        on_rows(1)
        on_rows(3)
    first, second, third, last = capsys.readouterr().err.splitlines()
    assert first == "0 of 4 examples (0 %)"
    assert re.fullmatch(r"1 of 4 examples \(25 %\), .* per second, .* left", second)
    assert re.fullmatch(r"4 of 4 examples \(100 %\), .* per second, 0:00 left", third)
    assert last.startswith("4 examples in ")


def test_the_ends_of_the_strengths_are_shown_whatever_the_order_of_heads():
    # of 60 examples, 47 and 21 alone; chosen by 34.3 and 32.3, sums of probabilities
    task = SimpleNamespace(subtask=None, classes=("a", "b"), examples=60, heads=[(0, 0), (0, 1)])
    task.strengths, task.scores = (21 / 60, 47 / 60), (34.3, 32.3)
    selection = SimpleNamespace(tasks=[task], target=ONE_CLASS)
    header, row = selection_table(selection).text().splitlines()
    assert "head strength (%)" in header
    assert "35.0 to 78.3" in row
    assert "34" not in row


def test_parameters_in_backticks_are_spelled_as_the_user_of_the_command_sets_them(savs, capfd):
    done = savs("extract", "general", "--test", "t.csv", "--model", "demo", "--out", "o",
                "--answers", "all")  # fmt: skip
    assert "--answers is 'all', expected labels, generate" in done.stderr
    say("`test`, `fetch_gb`, `hold_out`: options; `nothing_else`: none; `savs test`: a command")
    assert capfd.readouterr().err == (
        "--test, --allow urls[:NGB], --test COLUMN=VALUE: options; `nothing_else`: none;"
        " `savs test`: a command\n"
    )
    # of Python's parameters `method` and `max_layers`, which the shell calls otherwise
    for command, name in (("evaluate", "readout"), ("sweep", "max_layer")):
        assert savs(command, "nothing").returncode == 1
        capfd.readouterr()
        say(f"`{name}`")
        assert capfd.readouterr().err == f"--{name.replace('_', '-')}\n"


GREY = [(0, 0, 10), (0, 1, 4), (0, 2, 6), (2, 1, 8), (2, 2, 7)]
"""Layer, head and tenths of its strength: .4 to 1 are five shades, .15 apart."""


def map_of(ranks, subtasks=("one",)):
    rows = [
        (
            subtask,
            layer,
            head,
            f"L{layer}.H{head}",
            score / 10,
            3.0,
            10,
            0.0,
            own.get((layer, head)),
        )
        for subtask, own in zip(subtasks, ranks, strict=True)
        for layer, head, score in GREY
    ]
    return pl.DataFrame(rows, schema=HEAD_MAP_SCHEMA, orient="row")


def test_a_better_head_is_darker_and_a_chosen_one_has_its_rank():
    *lines, legend = draw_map(map_of([{(2, 1): 1, (0, 2): 12}]), ONE_CLASS)
    assert lines == ["      heads 0 to 2", "L0    ██  12", "L2    ·· 1▒▒"]
    assert "alone classifies 40.0 to 100.0 % of the training examples" in legend
    assert legend.endswith("numbers: ranks of the chosen heads")


def test_of_several_subtasks_the_chosen_heads_are_counted():
    ranks = [{(0, 0): 1, (2, 1): 2}, *[{(0, 0): 3}] * 9]
    *lines, legend = draw_map(map_of(ranks, [f"s{i}" for i in range(10)]), ONE_CLASS)
    assert lines == ["      heads 0 to 2", "L0    █+  ░░", "L2    ··▓1▒▒"]
    assert "how many subtasks chose the head" in legend


def test_heads_that_are_all_alike_are_drawn():
    found = map_of([{}]).with_columns(strength=pl.lit(0.5))
    assert draw_map(found, ONE_CLASS)[1:3] == ["L0    ██████", "L2    ··████"]


def test_an_image_that_two_prompts_lack_is_one_skip(tmp_path):
    values = np.zeros((3, 4, 4), np.float32)
    asked = make_store(
        *(tmp_path / "s", values, list("abab"), values, list("abab")),
        options={"questions": ["A?", "B?"]},
    )
    skipped = [("test", f"test:0#{prompt}", "no image") for prompt in (1, 2)]
    lines = [f"skipped test test:0#{prompt}: no image" for prompt in (1, 2)]
    assert skipped_examples(asked, skipped, 1) == (lines, 0)
    (*shown, refusal), code = skipped_examples(asked, skipped, 0)
    assert (shown, code) == (lines, 4)
    assert refusal.startswith("1 example was skipped, 0 allowed; fix the files")
    many = [str(number) for number in range(output.SHOWN + 2)]
    assert skipped_messages(many, "see there", 9, 9)[0][-1] == "... and 2 more; see there"
    assert len(skipped_messages(many[2:], "see there", 9, 9)[0]) == output.SHOWN


@pytest.fixture
def store(tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(2, subtasks=("one", "two")))
    save_selection(select(store, heads=3), store.path / "results" / "vote")
    return store


def test_show_draws_the_map_of_a_selection(savs, store, tmp_path):
    found = head_map(store, select(store, heads=3))
    done = savs("show", store.path, "--head-map")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == draw_map(found, ONE_CLASS)
    save_selection(select(store, heads=1), store.path / "results" / "one")
    done = savs("show", store.path / "results" / "one", "--head-map", "--json")
    heads = json.loads(done.stdout)["heads"]
    assert [h["rank"] for h in heads].count(1) == 2
    assert len(heads) == 2 * 12


def test_one_subtask_is_drawn_in_python(savs, store):
    found = head_map(store, select(store, heads=3)).filter(subtask="two")
    shown = show(store, head_map=True, subtask="two").heads
    assert draw_map(shown, ONE_CLASS) == draw_map(found, ONE_CLASS)
    with pytest.raises(ParameterError, match="'three', expected one of: two, one"):
        show(store, head_map=True, subtask="three")
    refused = savs("show", store.path / "results/vote")
    assert refused.returncode == 2
    assert "STORE/results/NAME needs --head-map" in refused.stderr


def test_show_says_how_to_make_a_selection(savs, tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(2))
    done = savs("show", store.path, "--head-map")
    assert done.returncode == 1
    assert f"a store without a selection; run `savs train {store.path}`" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("more", [(), ("--no-progress",)], ids=["shown", "not wanted"])
@pytest.mark.parametrize(
    ("command", "line"),
    [
        (("verify",), r"1 of \d+ shards"),
        (("select",), r"1 of 5 folds \(20 %\)"),
        (
            ("export", "--to", "store", "--heads", "all", "--out", "copy"),
            r"1 of \d+ shards \(\d+ %\)",
        ),
    ],
    ids=["verify", "select", "export"],
)
def test_what_takes_long_shows_how_far_it_is(savs, tmp_path, monkeypatch, command, line, more):
    store = write_problem(tmp_path / "s", draw_problem(2))
    monkeypatch.setattr(output, "FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(output, "LINE_EVERY_S", 0.0)
    name, *options = command
    done = savs(name, store.path, *options, *more)
    assert done.returncode == 0, done.stderr
    shown = [text for text in done.stderr.splitlines() if re.match(line, text)]
    assert bool(shown) is not bool(more)
    assert all(text.endswith("left") for text in shown)
    assert "\x1b" not in done.stderr  # a file or a pipe gets lines alone


@pytest.mark.parametrize("tests", [0, 4], ids=["no test examples", "test examples"])
def test_select_names_the_command_that_evaluates_its_result(savs, tmp_path, tests):
    store = write_problem(tmp_path / "s", draw_problem(3, tests=tests)).path
    folds = "" if tests else " --folds 5"
    for options, named in [
        ((), ""),
        (("--readout", "lda"), " --readout lda"),
        (("--out", "few"), " --selection few"),
        (("--readout", "lda", "--out", "lda"), " --selection lda"),
    ]:
        done = savs("select", store, "--no-estimate", *options)
        assert done.stderr.splitlines()[-1].endswith(f"; next: savs evaluate {store}{named}{folds}")


def classified(**facts) -> Classification:
    rows = pl.DataFrame({"id": ["a"], "prediction": ["cat"], "reason": [None]})
    known = {"predictions": rows, "outs": {Path("new.csv"): 1}, "rows": 0, "seconds": 0.0}
    return Classification(**{**known, "notes": (), "target": ONE_CLASS, **facts})


@pytest.mark.parametrize(
    ("rows", "gpus", "says"), [(0, "none", True), (0, "all", False), (1, "all", True)]
)
def test_of_many_processes_those_that_read_images_say_what_was_written(rows, gpus, says):
    options = {"json": False, "risk": None, "gpus": gpus, "max_skip": 0}
    table = pl.DataFrame({"id": list("abc"), "prediction": ["cat", "dog", "dog"]})
    done = classified(rows=rows, predictions=table.with_columns(reason=pl.lit(None, pl.String)))
    assert done.counts == [("dog", 2), ("cat", 1)]
    messages = classify.show(done, options).messages
    assert (any(line.startswith("wrote new.csv (1 row)") for line in messages)) == says


def test_files_that_could_not_be_copied_and_folders_of_other_names_are_told():
    done = SortedFiles(Path("sorted"), 3, 2, 1, {"a/b": "a_b-c14cddc0"}, ("gone.jpg", "b.jpg"))
    options = {"json": False, "risk": None, "gpus": "none", "max_skip": 0}
    assert classify.show(classified(sorted_files=done), options).messages[2:] == [
        "class 'a/b' has the folder a_b-c14cddc0",
        "2 files are gone since the classification and not copied, first gone.jpg",
        "3 files in sorted, 1 of them unsure (2 copied now)",
    ]


def test_data_that_is_no_text_of_a_terminal_is_printed_as_ascii(monkeypatch):
    for encoding, text in (("utf-8", "\N{PILE OF POO}"), ("ascii", r"\ud83d\udca9")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", stream)
        print_json({"label": "\N{PILE OF POO}", "when": date(2024, 5, 1)})
        stream.flush()
        told = stream.buffer.getvalue().decode(encoding)
        assert text in told
        assert json.loads(told) == {"label": "\N{PILE OF POO}", "when": "2024-05-01"}


def test_show_names_results_from_before_the_last_labels(savs, tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(2, counts=(4, 4), tests=4))
    save_selection(select(store, heads=3), store.path / "results" / "vote")
    assert "older" not in savs("show", store.path).stdout
    name, text = store.examples("test").select("id", "label").row(0)
    label(store, {name: text}, split="train")
    lines = savs("show", store.path).stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines if line.startswith("older")] == [
        ["older", "vote: made before training examples or labels came"]
    ]
