"""What the commands print while they run, and in their tables."""

import re
from types import SimpleNamespace

from savs.pipeline.cli import output
from savs.pipeline.cli.output import progress, say
from savs.pipeline.cli.tables import print_selection


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


def test_soft_scores_have_one_decimal_and_counts_none(capsys):
    task = SimpleNamespace(
        subtask=None, classes=("a", "b"), examples=60, heads=[(0, 0), (0, 1)], scores=None
    )
    for scores, shown in (((38.0, 26.0), "38..26 of 60"), ((40.9871, 17.0), "41.0..17 of 60")):
        task.scores = scores
        print_selection(SimpleNamespace(tasks=[task]))
        assert shown in capsys.readouterr().out


def test_parameters_in_backticks_are_spelled_as_the_running_command_does(savs, tmp_path, capfd):
    file = tmp_path / "x.csv"
    file.write_text("question,label\n?,a\n")
    done = savs(
        "split", "general", "--from", file, "--train", "a.csv", "--test", file, "--shots", 1
    )
    assert done.stderr.endswith("is the file to split; pass another --test\n"), done.stderr
    say("`test` is there, `nothing_else` is not, and `savs test` is a command")
    assert capfd.readouterr().err == (
        "--test is there, `nothing_else` is not, and `savs test` is a command\n"
    )
