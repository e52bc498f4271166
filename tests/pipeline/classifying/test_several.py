"""Several classifiers see an image in one pass, and each predicts what it predicts alone."""

import shutil
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from savs import classify, export, load_selection, save_selection, select
from savs.pipeline.classifying.classifiers import combine
from savs.pipeline.cli.app import app
from savs.pipeline.errors import SelectionError
from savs.pipeline.running.option_texts import parse_classifiers
from savs.pipeline.selection.selection import only_subtask
from savs.stores.errors import ResultError

pytestmark = pytest.mark.thorough

COLUMNS = ["id", "prediction", "margin", "votes", "reason"]


def test_each_predicts_what_it_predicts_alone(made, animals, tmp_path) -> None:
    other = tmp_path / "other"
    given = load_selection(animals)
    save_selection(replace(given, tasks=(flipped(given.only_task()),)), other)
    images = made.images[:3]
    found = classify({"animal": animals, "flipped": other}, images).predictions
    assert found["subtask"].to_list() == ["animal", "flipped"] * 3
    for name, folder in (("animal", animals), ("flipped", other)):
        alone = classify(folder, images).predictions
        together = found.filter(subtask=name)
        assert_frame_equal(together.select(COLUMNS), alone.select(COLUMNS), abs_tol=1e-5)
    first, second = (found.filter(subtask=name)["prediction"] for name in ("animal", "flipped"))
    assert (first != second).any()


def flipped(task):
    """Return a task whose classes have each other's names."""
    return replace(task, classes=task.classes[::-1])


def test_the_grid_has_the_heads_of_both_slim_classifiers(made) -> None:
    whole = load_selection(made.classifier)
    parts = {name: of_heads(made, heads) for name, heads in PARTS.items()}
    found = combine(parts)
    assert [task.subtask for task in found.tasks] == [
        f"{name}/{task.subtask}" for name in PARTS for task in whole.tasks
    ]
    assert found.heads == [head for heads in PARTS.values() for head in heads]
    assert {(g.layer, h) for g in found.source.grid for h in g.heads} == set(found.heads)
    other = combine(dict(reversed(parts.items())))  # the layers of a model are in order
    assert other.source.grid == found.source.grid
    assert [grid.layer for grid in found.source.grid] == [0, 2, 5]


PARTS = {"early": ((0, 1), (2, 0)), "late": ((2, 3), (5, 1))}


def of_heads(made, heads):
    """Return a classifier of some heads, as one of a slim store."""
    given = load_selection(made.classifier)
    tasks = tuple(
        replace(
            task,
            heads=heads,
            strengths=task.strengths[:2],
            scores=task.scores[:2],
            margins=task.margins[:2],
        )
        for task in given.tasks
    )
    selection = select(made.store, heads=replace(given, tasks=tasks))
    grid = tuple(
        replace(layer, heads=tuple(head for number, head in heads if number == layer.layer))
        for layer in selection.source.grid
        if any(number == layer.layer for number, _ in heads)
    )
    return replace(selection, source=replace(selection.source, grid=grid))


def test_classifiers_of_several_readouts_share_a_table(made, tmp_path) -> None:
    folders = {readout: tmp_path / readout for readout in ("vote", "knn", "neurons")}
    for readout, folder in folders.items():
        save_selection(only_subtask(select(made.store, readout=readout), "animal"), folder)
    images, table = made.images[:2], tmp_path / "table.parquet"
    classify(folders, images, out=table)
    together = pl.read_parquet(table)
    for readout, folder in folders.items():
        alone = classify(folder, images).predictions
        of_one = together.filter(pl.col("subtask").str.starts_with(readout))
        assert of_one["prediction"].to_list() == alone["prediction"].to_list()


def test_classifiers_of_a_readout_of_ones_own_are_read_by_its_file(made, tmp_path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from dataclasses import replace\n"
        "from savs.pipeline.readouts import READOUTS\n"
        "READOUT = replace(READOUTS['vote'], name='mine')\n"
    )
    folders = {f"{n} heads": tmp_path / f"{n}" for n in (3, 5)}
    for heads, folder in zip((3, 5), folders.values(), strict=True):
        chosen = select(made.store, heads=heads, readout=mine)
        save_selection(only_subtask(chosen, "animal"), folder)
    found = classify(folders, made.images[:2], readout=mine).predictions
    assert found["subtask"].to_list() == [f"{name}/animal" for name in folders] * 2
    with pytest.raises(ResultError, match="pass the file of the readout"):
        classify(folders, made.images[:2])
    alone = classify(folders["5 heads"], made.images[:2], readout=mine).predictions
    assert alone["votes"].to_list() == found.filter(subtask="5 heads/animal")["votes"].to_list()
    given = {"to": "classifier", "selection": folders["5 heads"]}
    with pytest.raises(ResultError, match="pass the file of the readout"):
        export(made.store, **given, out=tmp_path / "none")
    done = export(made.store, **given, readout=mine, out=tmp_path / "bundle")
    assert "config.json" in done.files


def test_classifiers_of_other_models_cannot_share_a_pass(animals) -> None:
    ours = load_selection(animals)
    other = replace(ours, source=replace(ours.source, dtype="bfloat16"))
    with pytest.raises(SelectionError, match="dtype: 'float32' in 'a', 'bfloat16' in 'b'"):
        combine({"a": ours, "b": other})
    wider = tuple(replace(grid, head_dim=grid.head_dim + 1) for grid in ours.source.grid)
    other = replace(ours, source=replace(ours.source, grid=wider))
    with pytest.raises(SelectionError, match=r"width of head \(0, 0\): 16 in 'a', 17 in 'b'"):
        combine({"a": ours, "b": other})


def test_tasks_of_one_name_are_refused(animals) -> None:
    one = load_selection(animals)
    (task,) = one.tasks
    nested = replace(one, tasks=(replace(task, subtask="b"),))
    flat = replace(one, tasks=(replace(task, subtask=None),))
    with pytest.raises(SelectionError, match="two tasks would be called 'a/b'; give classifiers"):
        combine({"a": nested, "a/b": flat})
    with pytest.raises(SelectionError, match="no classifier was given"):
        combine({})


def test_names_are_those_of_folders_unless_given(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k=5").mkdir()
    found = parse_classifiers("runs/vote,colour=runs/vote,k=5")
    assert isinstance(found, dict)
    assert {name: str(path) for name, path in found.items()} == {
        "vote": "runs/vote",
        "colour": "runs/vote",
        "k=5": "k=5",
    }
    with pytest.raises(ValueError, match="where two are called 'vote'"):
        parse_classifiers("a/vote,b/vote")
    (tmp_path / "a,b").mkdir()
    assert parse_classifiers("a,b") == "a,b"


def test_the_command_takes_several(made, animals, tmp_path) -> None:
    shutil.copytree(animals, tmp_path / "again")
    given = ["classify", f"{animals},{tmp_path / 'again'}", str(made.images[0])]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert [line.split()[1] for line in done.stdout.splitlines()[-2:]] == ["classifier", "again"]
