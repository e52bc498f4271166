"""The table of all methods: its tasks, its numbers, and the commands that make each again."""

import json
import shlex
import sys

import check_by_transformers
import compare_methods
import numpy as np
import pytest
from method_comparison import table, tasks
from method_comparison.methods import METHODS, OF_CLASSES
from small_results import save_result

from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.results import Results


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(tasks, "SHOTS", 4)
    monkeypatch.setattr(tasks, "TESTS", 20)


def test_draws_of_drawn_scenes_share_the_test_set_alone(small, tmp_path):
    first, second = tasks.write_task("animal", tmp_path, 2, seed=5)
    assert first.test == second.test
    assert len(read(first.test)) == 20
    images = [{row["images"][0] for row in read(own.train)} for own in (first, second)]
    assert [len(own) for own in images] == [16, 16]  # 4 of each of 4 classes
    content = [{(tmp_path / name).read_bytes() for name in own} for own in images]
    assert not content[0] & content[1]
    assert all((tmp_path / row["images"][0]).exists() for row in read(first.test))
    alone = tasks.write_task("animal", tmp_path / "alone", 1, seed=6)[0]
    labels = [[row["label"] for row in read(own.train)] for own in (alone, second)]
    assert labels[0] == labels[1]  # draw k of a seed is draw 0 of seed + k


def test_draws_of_real_images_never_take_test_images(small, tmp_path, monkeypatch):
    pool = {label: [f"{label}/{n}.png" for n in range(30)] for label in "abcde"}
    monkeypatch.setitem(tasks.POOLS, "real", ("What?", lambda _: pool))
    draws = tasks.write_task("real", tmp_path, 3, seed=5)
    test = read(draws[0].test)
    assert sorted(row["label"] for row in test) == sorted("abcde" * 4)
    held = {row["image"] for row in test}
    trains = [[row["image"] for row in read(own.train)] for own in draws]
    assert all(len(set(own)) == 20 and not held & set(own) for own in trains)
    assert len({tuple(own) for own in trains}) == 3
    (tmp_path / "again").mkdir()
    again = tasks.write_task("real", tmp_path / "again", 3, seed=5)
    assert [read(own.train) for own in again] == [read(own.train) for own in draws]


def test_an_unknown_task_and_a_missing_package_are_said(tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match=r"no task is called 'what'; expected color, .*digit"):
        tasks.write_task("what", tmp_path, 1, 0)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ParameterError, match="pip install scikit-image, or leave out task surface"):
        tasks.write_task("surface", tmp_path, 1, 0)


HITS = {
    ("draw-0", "heads", "vote"): [1, 1, 0, 0, 1, 0, 1, 1],  # 5/8
    ("draw-1", "heads", "vote"): [1, 1, 1, 0, 1, 0, 1, 1],  # 6/8
    ("draw-0", "heads", "lda"): [1, 1, 1, 1, 1, 1, 1, 0],  # 7/8
    ("draw-1", "heads", "lda"): [1, 1, 1, 1, 1, 1, 1, 1],  # 8/8
    ("draw-0", "labels", "zero-shot"): [0, 0, 0, 0, 1, 0, 0, 1],  # 2/8, for both draws
}


@pytest.fixture
def runs(tmp_path):
    for (draw, method, readout), hits in HITS.items():
        folder = tmp_path / "task" / draw / method
        cost = {"forwards": 8 + 4 * (method == "heads"), "seconds": 1.0}
        save_result(Results(folder / "store").place(readout).folder, hits, facts={"cost": cost})
        (folder / "cpu.json").write_text(json.dumps({"cpu_s": 1.0 + int(draw[-1])}))
    return tmp_path


def test_means_differences_and_costs_are_over_the_draws(runs):
    vote, lda, own = table.cells(runs, {"task": 4}, 2)
    assert (vote.mean, vote.cpu_s, vote.forwards) == (5.5 / 8, 1.5, 12)
    assert vote.sd == pytest.approx(np.sqrt(2) / 16)  # 5/8 and 6/8
    assert (vote.difference, vote.p) == (None, None)
    assert lda.difference == pytest.approx(2 / 8)
    # differences .25 in both draws: the questions alone vary, by their means over the draws
    apart = np.array([0, 0, 0.5, 1, 0, 1, 0, -0.5])
    error = apart.std(ddof=1) / np.sqrt(8)
    low, high = lda.difference_bounds
    assert (high - low) / 2 == pytest.approx(2.3646 * error, rel=1e-3)  # t of 7 degrees
    assert (own.mean, own.sd, own.cpu_s) == (2 / 8, 0.0, 1.0)
    assert own.difference == pytest.approx((2 - 5.5) / 8)
    assert own.p_holm >= own.p > 0
    frame = table.as_frame([vote, lda, own])
    assert frame["low"].to_list() == [c.bounds[0] for c in (vote, lda, own)]


def test_the_markdown_has_a_row_a_method_and_marks_what_differs(runs):
    lines = table.as_markdown(table.cells(runs, {"task": 4}, 2)).splitlines()
    assert lines[0] == "| method | task | forwards | CPU s |"
    assert lines[2] == "| chance | 50 | | |"
    assert [line.split(" | ")[0] for line in lines[3:]] == [
        "| SAVs (`vote`)",
        "| `lda`",
        "| `zero-shot`",
    ]
    assert lines[3].startswith("| SAVs (`vote`) | 68.8 (")
    assert lines[3].endswith(" | 12 | 1.5 |")


def test_one_draw_has_the_intervals_of_its_questions(runs):
    vote, lda, _ = table.cells(runs, {"task": 4}, 1)
    assert vote.mean == 5 / 8
    assert vote.bounds[0] == pytest.approx(0.3057, abs=1e-3)  # Wilson's of 5 in 8
    assert (lda.difference, lda.p) == (2 / 8, None)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_every_figure_reruns_from_its_command_and_equals_transformers_alone(
    savs, tmp_path, monkeypatch, capfd
):
    kept = [method for method in METHODS if method.name in ("heads", "labels", "clip")]
    for module in (compare_methods, table):
        monkeypatch.setattr(module, "METHODS", kept)
    work = tmp_path / "work"
    given = ["--work", str(work), "--tasks", "animal,relation", "--draws", "1"]
    monkeypatch.setattr(sys, "argv", ["compare_methods.py", *given])
    compare_methods.main()
    assert "| SAVs (`vote`) |" in capfd.readouterr().out

    def predictions(method, readout, task="animal", root="runs"):
        store = work / root / task / "draw-0" / method / "store"
        return Results(store)[readout].predictions()["prediction"].to_list()

    for line in (work / "commands.sh").read_text().splitlines():
        if line.startswith("savs "):
            assert savs(*shlex.split(line)[1:]).returncode == 0
    for task in ("animal", "relation"):
        for method in kept:
            for readout in method.readouts:
                if task == "relation" and readout in OF_CLASSES:
                    continue  # its texts are captions, none of classes
                given = method.name, readout, task
                assert predictions(*given, root="again") == predictions(*given)
    data = work / "data" / "animal"
    files = {"train": data / "train-0.jsonl", "test": data / "test.jsonl", "media-root": data}
    alone = check_by_transformers.main([f"--{name}={path}" for name, path in files.items()])
    assert alone["vote"] == predictions("heads", "vote")
    assert alone["zero-shot"] == predictions("labels", "zero-shot")
    assert alone["clip"] == predictions("clip", "clip")
