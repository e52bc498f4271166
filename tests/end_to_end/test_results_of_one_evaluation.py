"""The files of a result folder belong to one evaluation; whatever is changed in them is refused."""

import hashlib
import json
import shutil
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import settings
from json_edits import edited, variants
from saved_selections import assert_same, two_task_store
from small_results import save_result

from savs import (
    SavsError,
    compare,
    evaluate,
    load_selection,
    open_store,
    query,
    report,
    save_evaluation,
    save_selection,
    select,
    write_bundle,
)
from savs.pipeline.evaluation import evaluation_file
from savs.stores import FeatureStore, ResultError
from savs.stores.format.layout import digest

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("queries_here")]

FILES = ("units.parquet", "predictions.parquet", "classifier.safetensors", "config.json")
NEW, OLD = [1, 1, 1, 1], [1, 0, 1, 1]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Return a store that was evaluated with three heads, and with two in `results/two`."""
    found = two_task_store(tmp_path_factory.mktemp("evaluated") / "s")
    for heads, name in ((3, "vote"), (2, "two")):
        selection, folder = select(found, heads=heads), found.path / "results" / name
        save_selection(selection, folder)
        save_evaluation(evaluate(found, selection), folder)
    return Path(found.path)


@pytest.fixture
def store(evaluated, tmp_path) -> FeatureStore:
    """Return a copy of it."""
    return open_store(shutil.copytree(evaluated, tmp_path / "s"))


def test_all_files_name_one_run(store) -> None:
    folder = store.path / "results/vote"
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("units.parquet", "predictions.parquet"):
        assert pl.read_parquet_metadata(folder / name)["run"] == metrics["run"]
    assert sorted(metrics["files"]) == sorted(FILES)
    content = {name: value for name, value in metrics.items() if name not in ("run", "files")}
    assert metrics["run"] == digest(content)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_evaluation_is_refused(savs, store, tmp_path, name) -> None:
    ours, theirs = store.path / "results/vote", store.path / "results/two"
    assert savs("compare", ours, theirs).returncode == 0
    shutil.copy(theirs / name, ours / name)
    for command in (("compare", ours, theirs), ("query", store.path, "SELECT * FROM predictions")):
        done = savs(*command)
        assert done.returncode == 1
        assert f"vote/{name} cannot be read (its SHA-256 is not the one in metrics" in done.stderr
        assert "run `savs evaluate` again" in done.stderr


def test_a_later_selection_is_no_damage(savs, store) -> None:
    assert savs("select", store.path, "--heads", 1).returncode == 0
    for command in (("report", "--out", "p.html"), ("query", "SELECT * FROM predictions")):
        done = savs(command[0], store.path, *command[1:])
        assert done.returncode == 1
        assert "vote was selected again since it was evaluated" in done.stderr
        assert "run `savs evaluate` again" in done.stderr
        assert "SHA-256" not in done.stderr
    assert savs("evaluate", store.path).returncode == 0
    assert savs("report", store.path, "--out", "p.html").returncode == 0


@pytest.mark.parametrize("name", ["predictions.parquet", "metrics.json"])
def test_an_end_between_two_files_leaves_the_old_result(tmp_path, monkeypatch, name) -> None:
    good = save_result(tmp_path / "good", OLD)
    folder = save_result(tmp_path / "killed", OLD)
    for write in ("write_table", "write_json"):
        monkeypatch.setattr(evaluation_file, write, _dying(getattr(evaluation_file, write), name))
    with pytest.raises(KeyboardInterrupt):
        save_result(folder, NEW)
    assert compare([good, folder])["difference"].to_list() == [0, 0]
    assert {file.name for file in folder.iterdir()} == {file.name for file in good.iterdir()}


def _dying(write, last: str):
    def call(path: Path, *rest):
        if path.name == last:
            raise KeyboardInterrupt
        return write(path, *rest)

    return call


def test_every_edit_of_the_metrics_is_refused(tmp_path, record_property) -> None:
    good, folder = (save_result(tmp_path / which, OLD) for which in ("good", "edited"))
    path = folder / "metrics.json"
    value = json.loads(path.read_text())
    for number, (place, new) in enumerate(variants(value)[::5]):  # each place several times
        record_property("tried", number + 1)
        path.write_text(json.dumps(edited(value, place, new)))
        with pytest.raises(ResultError, match=r"(metrics\.json|parquet) (cannot be read|does not)"):
            compare([folder, good])


@pytest.mark.costly
def test_metrics_of_another_form_are_refused_though_their_digest_is_right(
    store, tmp_path, record_property
) -> None:
    folder = store.path / "results/vote"
    path = folder / "metrics.json"
    value = json.loads(path.read_text())
    own = {name: value.pop(name) for name in ("run", "files")}
    edits = variants(value)
    uses = (
        lambda: report(store.path, out=tmp_path / "page.html"),
        lambda: compare([folder, store.path / "results/two"]),
        lambda: write_bundle(store, folder, tmp_path / uuid4().hex),
    )
    refused = []
    count = settings.default.max_examples * 6 // 10  # `just fuzz` tries ten times as many
    for number, (place, new) in enumerate(edits[:: len(edits) // count]):
        record_property("tried", number + 1)
        content = edited(value, place, new)
        if not isinstance(content, dict):
            continue
        path.write_text(json.dumps(own | {"run": digest(content)} | content))
        for use in uses:
            try:
                use()
            except SavsError as error:  # any other one ends the test
                refused.append(str(error))
    assert len(refused) > count
    assert not [text for text in refused if "metrics" not in text]


@pytest.mark.parametrize("missing", ["metrics", "cost", "leaks", "per_class", "planned"])
def test_a_missing_key_of_the_metrics_is_one_line(savs, store, missing) -> None:
    path = store.path / "results/vote/metrics.json"
    value = json.loads(path.read_text())
    own = {name: value.pop(name) for name in ("run", "files")}
    del value[missing]
    path.write_text(json.dumps(own | {"run": digest(value)} | value))
    ran = savs("report", store.path, "--out", "page.html")
    assert ran.returncode == 1
    field = f"cannot be read (Object missing required field `{missing}`"
    assert (f"has no {missing!r}" if missing == "per_class" else field) in ran.stderr
    assert ran.stderr.count("\n") == 1


UNEQUAL = pl.when(pl.col("unit") == 0).then(pl.concat_list("scores", "scores")).otherwise("scores")


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("units.parquet", pl.col("scores").list.first(), "its columns are"),
        ("units.parquet", pl.lit(None, pl.List(pl.Float64)).alias("scores"), "'scores' has an emp"),
        ("units.parquet", pl.lit([None], pl.List(pl.Float64)).alias("scores"), "'scores' has an e"),
        ("units.parquet", pl.lit([], pl.List(pl.Float64)).alias("scores"), "'scores' has an empty"),
        ("units.parquet", UNEQUAL.alias("scores"), "other numbers of draws"),
        ("units.parquet", pl.col("scores").alias("points"), "different"),
        ("predictions.parquet", pl.lit(None, pl.String).alias("id"), "column 'id' has an empty"),
        ("predictions.parquet", pl.lit(1).alias("label"), "its columns are"),
    ],
)
def test_a_forged_table_is_refused_by_its_columns(tmp_path, name, change, reason) -> None:
    good, folder = (save_result(tmp_path / which, OLD) for which in ("good", "forged"))
    pl.read_parquet(folder / name).with_columns(change).write_parquet(folder / name)
    if reason != "different":  # else the digest stays that of the old file
        path = folder / "metrics.json"
        value = json.loads(path.read_text())
        value["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(value))
    with pytest.raises(ResultError, match=rf"{name} cannot be read .*{reason}"):
        compare([good, folder])


def test_an_edited_selection_is_refused_or_predicts_the_same(savs, store, record_property) -> None:
    """Edits of a selection's text, through the command: one line, no traceback, no other number."""
    folder = store.path / "results/vote"
    before = savs("evaluate", store.path, "--json").stdout
    config = json.loads((folder / "config.json").read_text())
    edits = variants(config)
    for number, (place, new) in enumerate(edits[:: len(edits) // 58]):
        record_property("tried", number + 1)
        (folder / "config.json").write_text(json.dumps(edited(config, place, new)))
        done = savs("evaluate", store.path, "--json")
        if done.returncode:
            assert done.returncode == 1
            assert done.stderr.startswith("error: ")
            assert "config.json" in done.stderr or "classifier.safetensors" in done.stderr
        else:
            assert done.stdout == before


def test_a_selection_that_was_made_again_is_not_that_of_the_predictions(store) -> None:
    folder = store.path / "results/vote"
    again = select(store, heads=1)
    save_selection(again, folder)
    assert_same(load_selection(folder), again)
    assert query(store, "SELECT count(*) FROM votes").item() > 0
    with pytest.raises(ResultError, match="was selected again since it was evaluated"):
        query(store, "SELECT count(*) FROM predictions")


def test_no_submission_of_an_earlier_evaluation_is_left(tmp_path) -> None:
    (tmp_path / "submission.json").write_text("{}")
    save_result(tmp_path, OLD)
    assert not (tmp_path / "submission.json").exists()
