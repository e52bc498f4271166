"""`savs export` and `savs merge`: what they write, print and refuse."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from saved_selections import two_task_store

from savs import export, load_selection, open_store
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ExportError
from savs.stores import FeatureStore
from stores import make_store

pytestmark = pytest.mark.thorough


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(6, n, 4)).astype(np.float32) for n in (8, 7))
    return make_store(tmp_path / "store", train, list("abababab"), test, list("aabbaba"))


@pytest.fixture
def run(savs):
    """Return a function that runs a command and expects an exit code."""

    def call(*args, code: int = 0):
        done = savs(*args)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.fixture
def chosen(run, store) -> list[str]:
    """Select three heads of the store and return their names, in the store's order."""
    run("select", store.path, "--heads", "3")
    heads = load_selection(store.path / "results/vote").tasks[0].heads
    return [f"L{layer}.H{head}" for layer, head in sorted(heads)]


ALL = [f"L0.H{head}" for head in range(6)]


def test_export_takes_the_chosen_heads_or_all_or_those_named(run, store, chosen, tmp_path) -> None:
    for choice, names in (("chosen", chosen), ("all", ALL), ("L0.H4,L0.H1", ["L0.H4", "L0.H1"])):
        done = run(
            *("export", store.path, "--to", "parquet", "--out", tmp_path / "out.parquet"),
            *("--heads", choice),
        )
        assert done.stdout == f"{tmp_path}/out.parquet\n"
        assert done.stderr.startswith(f"{len(names)} heads, ")
        found = pl.read_parquet(tmp_path / "out.parquet")
        assert [name for name in found.columns if name.startswith("L0.")] == names
        assert found.height == 15
        for name in names:
            values = np.concatenate(
                [store.features(split, [(0, int(name[-1]))])[0] for split in ("train", "test")]
            )
            np.testing.assert_array_equal(found[name].to_numpy(), values)


def test_export_writes_the_other_forms_and_splits(run, store, tmp_path) -> None:
    args = ("export", store.path, "--heads", "L0.H2", "--json")
    for form in ("npz", "safetensors"):
        path = tmp_path / f"out.{form}"
        done = json.loads(run(*args, "--to", form, "--out", path).stdout)
        assert done == {"path": str(path), "bytes": path.stat().st_size, "heads": 1}
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert found["id"].tolist() == [*store.ids("train"), *store.ids("test")]
        values = [store.features(split, [(0, 2)])[0] for split in ("train", "test")]
        np.testing.assert_array_equal(found["L0.H2"], np.concatenate(values))
    with pytest.raises(ExportError, match=r"splits are \['val'\], expected some of"):
        export(store, to="npz", out=tmp_path / "x.npz", heads="all", split="val")
    with pytest.raises(ParameterError, match="`split` has no meaning with `to` store"):
        export(store, to="store", out=tmp_path / "x", heads="all", split="test")
    with pytest.raises(ParameterError, match="`readout` has no meaning with `to` space"):
        export(store, to="space", out=tmp_path / "x", readout="mine.py")


@pytest.mark.thorough
def test_export_takes_a_selection_that_lies_elsewhere(run, store, chosen, tmp_path) -> None:
    (store.path / "results/vote").rename(tmp_path / "mine")
    out = ("--to", "parquet", "--out", tmp_path / "out.parquet")
    missing = run("export", store.path, *out, code=1)
    assert "is a store without a selection; run `savs train " in missing.stderr
    export(store, to="parquet", out=tmp_path / "out.parquet", selection=tmp_path / "mine")
    assert pl.read_parquet(tmp_path / "out.parquet").columns[-3:] == chosen


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["parquet", "store"])
@pytest.mark.parametrize(
    "heads", ["L0H1", "0.1", "L0.H1,", "L0.H1, L0.H2", "L0.H1x", "best", "", "l0.h1", "3"]
)
def test_a_wrong_spelling_of_heads_is_a_usage_error(run, store, tmp_path, form, heads) -> None:
    done = run(
        *("export", store.path, "--to", form, "--out", tmp_path / "out", "--heads", heads), code=2
    )
    assert f"--heads is {heads!r}, expected chosen, all, a list such as" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["parquet", "store"])
def test_an_unknown_head_is_named(run, store, tmp_path, form) -> None:
    given = ("--to", form, "--out", tmp_path / "out", "--heads", "L0.H1,L0.H6")
    done = run("export", store.path, *given, code=1)
    assert "holds no head L0.H6; it has 6 heads from L0.H0 to L0.H5" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--to", "csv"), 2, "--to is 'csv', expected one of classifier, space, store, parquet"),
        (("--to", "npz", "--subtask", "a"), 2, "--subtask has no meaning with --to npz"),
        (("--to", "npz", "--public"), 2, "--public has no meaning with --to npz"),
    ],
)
def test_export_names_what_it_cannot_do(run, store, tmp_path, args, code, message) -> None:
    out = tmp_path / "new" / "out"
    done = run("export", store.path, "--out", out, "--heads", "all", *args, code=code)
    assert message in done.stderr
    assert not out.parent.exists()


@pytest.mark.parametrize("form", ["parquet", "npz", "safetensors"])
def test_export_onto_a_folder_fails_and_leaves_nothing(run, store, tmp_path, form) -> None:
    (tmp_path / "folder").mkdir()
    args = ("--out", tmp_path / "folder", "--heads", "all", "--to", form)
    done = run("export", store.path, *args, code=1)
    assert (
        done.stderr
        == f"error: {tmp_path}/folder cannot be written: Is a directory; pass another --out\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "store"]


def test_a_selection_is_exported_as_a_classifier_by_its_name(run, tmp_path) -> None:
    two_task_store(tmp_path / "s")
    bundle = ("export", "s", "--to", "classifier", "--out", "bundle")
    assert "s is a store without a selection" in run(*bundle, code=1).stderr
    for readout in ("vote", "lda"):
        run("select", "s", "--heads", "2", "--readout", readout)
    for more, code, message in (
        (("--heads", "all"), 2, "--heads has no meaning with --to classifier"),
    ):
        assert message in run(*bundle, *more, code=code).stderr
    none = run("export", "s/results/none", *bundle[2:], code=1)
    assert "s has no result 'none', expected one of: lda, vote" in none.stderr
    two_task_store(tmp_path / "other")
    run("select", "other", "--heads", "1", "--out", "lda")  # another one in the current folder
    done = run("export", "s/results/lda", *bundle[2:], "--json")
    assert load_selection(tmp_path / "bundle").readout == "lda"
    found = json.loads(done.stdout)
    assert found["path"] == "bundle"
    assert sorted(found["files"]) == sorted(path.name for path in (tmp_path / "bundle").iterdir())
    assert "2 subtasks" in found["note"]
    assert "no predict.py: it answers one question" in done.stderr


def test_a_smaller_store_takes_the_selection_along(run, store, chosen, tmp_path) -> None:
    slim = tmp_path / "slim"
    done = json.loads(run("export", store.path, "--to", "store", "--out", slim, "--json").stdout)
    size = sum(path.stat().st_size for path in slim.glob("*.h5"))
    assert done == {"path": str(slim), "bytes": size, "heads": 3}
    assert [f"L{a}.H{b}" for a, b in open_store(slim).heads] == chosen
    for name in ("classifier.safetensors", "config.json"):
        saved = f"results/vote/{name}"
        assert (slim / saved).read_bytes() == (store.path / saved).read_bytes()
    assert run("verify", slim).stdout == ""


@pytest.mark.thorough
def test_a_smaller_store_gives_the_metrics_of_the_full_one(run, store, chosen, tmp_path) -> None:
    selection = ("--selection", store.path / "results/vote")
    run("export", store.path, "--to", "store", "--out", tmp_path / "slim")
    run("evaluate", store.path, *selection)
    run("evaluate", tmp_path / "slim", *selection)
    full, slim = (folder / "results/vote" for folder in (store.path, tmp_path / "slim"))
    tables = [pl.read_parquet(folder / "predictions.parquet") for folder in (full, slim)]
    assert tables[1].equals(tables[0])
    figures = [json.loads((folder / "metrics.json").read_text()) for folder in (full, slim)]
    for one in figures:
        del one["run"], one["files"], one["cost"]["bytes"]  # the smaller store has fewer bytes
    assert figures[1] == figures[0]


@pytest.mark.thorough
def test_a_store_of_heads_by_name_takes_no_selection(run, store, chosen, tmp_path) -> None:
    given = ("export", store.path, "--to", "store", "--out", tmp_path / "slim", "--heads")
    done = run(*given, "L0.H5,L0.H0")
    assert done.stdout == f"{tmp_path}/slim\n"
    assert open_store(tmp_path / "slim").heads == [(0, 0), (0, 5)]
    assert not (tmp_path / "slim/results").exists()
    again = run(*given, "all", code=1)
    assert "slim exists and is not empty; pass a new or empty folder" in again.stderr


def test_merge_puts_the_work_of_two_machines_together(run, store, tmp_path) -> None:
    for number in (0, 1):
        shutil.copytree(store.path, tmp_path / f"part{number}")
        for path in sorted((tmp_path / f"part{number}").glob("*.h5"))[number::2]:
            path.unlink()
    out, parts = tmp_path / "out", [tmp_path / "part0", tmp_path / "part1"]
    done = json.loads(run("merge", *parts, "--out", out, "--json").stdout)
    size = sum(path.stat().st_size for path in out.glob("*.h5"))
    assert done == {"path": str(out), "bytes": size, "heads": 6}
    assert run("verify", out).stdout == ""
    for split in ("train", "test"):
        found = open_store(out).features(split)
        np.testing.assert_array_equal(found, store.features(split), strict=True)
    lone = run("merge", parts[0], parts[0], "--out", tmp_path / "other", code=3)
    assert "3 planned shards are in none of the stores" in lone.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.thorough
def test_merge_refuses_one_store_and_stores_of_other_models(run, store, tmp_path) -> None:
    one = run("merge", store.path, "--out", tmp_path / "out", code=2)
    assert "got one store, expected two or more" in one.stderr
    values = store.features("train")
    make_store(tmp_path / "b", values, list("abababab"), values, list("abababab"), model="other")
    apart = run("merge", store.path, tmp_path / "b", "--out", tmp_path / "out", code=1)
    assert "model.name: 'toy' in the store, 'other' in the other" in apart.stderr
    run("merge", store.path, tmp_path / "nowhere", "--out", tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()
