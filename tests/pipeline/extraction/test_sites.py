"""Stores of other sites than heads: each is what a run of it alone gives, and is read as any."""

import json
import shutil

import numpy as np
import pytest
from reuse_runs import after_the_proof, same
from sounds import wav

from savs import (
    SavsClassifier,
    classify,
    evaluate,
    explain,
    load,
    open_store,
    save_selection,
    select,
)
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.errors import ModelError, ReportError, SelectionError
from savs.pipeline.extraction.model.reading import Launched
from savs.stores import StoreMismatchError, StoreNotFoundError
from savs.stores.write.writer import FeatureWriter

pytestmark = pytest.mark.thorough

SITES = ("heads", "residual", "residual-slices", "attention", "mlp", "norm")
ALL = ",".join(SITES)


def equal(one, other):
    same(one, other, 0, 0)


def test_sites_of_one_run_are_those_of_runs_for_each_and_cost_no_more_passes(run, passes):
    reporting, said = after_the_proof(passes)
    given = {"dtype": "float32", "batch_size": 3, "answers": "labels"}
    done = run("all", site=ALL, reporting=reporting, **given)
    together = [*passes]
    assert [*done.stores] == [*SITES]
    assert done.store.path.name == "heads"
    plain = run("plain", reporting=reporting, **given).store
    assert together == passes
    assert "site" not in plain.manifest.identity.model
    assert plain.manifest.identity.digest == done.store.manifest.identity.digest
    sizes = {label: line for label in SITES for line in said if line.startswith(f"{label}: ")}
    assert set(sizes) == set(SITES)
    for label, store in done.stores.items():
        name, slices = label.removesuffix("-slices"), label.endswith("-slices")
        alone = run(label, site=name, slices=slices, **given).store
        equal(alone, store)
        assert alone.manifest.identity.digest == store.manifest.identity.digest
        np.testing.assert_array_equal(
            store.output("test", "answers"), plain.output("test", "answers")
        )
        ways, expected = store.manifest.batching, plain.manifest.batching
        assert ways["batch_tokens"] == expected["batch_tokens"]
        for name in ("batches", "sharing"):  # what was seen is of these sites
            assert ways[name]["name"] == expected[name]["name"]
        (record,) = store.manifest.runs  # a command that makes this store alone
        assert record["asked"].get("site", "heads") == label
        if label != "heads":
            assert plain.manifest.identity.differences(store.manifest.identity) == [
                f"site: heads in the store, {label} now"
            ]
    assert done.stores["norm"].heads == [(3, 0)]
    assert len(done.stores["residual-slices"].heads) == 3 * 4


def test_a_run_goes_on_with_the_sites_and_shards_that_are_missing(run, passes):
    given = {"dtype": "float32", "shard_rows": 2, "answers": "labels"}
    whole = run("whole", site="heads,residual,norm", **given).stores
    stores = run("resumed", site="heads,residual", **given).stores
    heads = {path: path.read_bytes() for path in stores["heads"].path.glob("*.h5")}
    (stores["residual"].path / "test-00001.h5").unlink()
    reporting, said = after_the_proof(passes)
    run("resumed", site="norm,residual,heads", reporting=reporting, **given)
    assert "residual: 2 examples" in "".join(said)
    assert not any(line.startswith("heads: ") for line in said)
    assert sum(passes) == 11  # the norm lacks all examples
    passes.clear()
    finished = run("resumed", site="norm,residual,heads", reporting=reporting, **given).stores
    assert passes == []
    for label, store in finished.items():
        equal(whole[label], store)
    assert all(path.read_bytes() == before for path, before in heads.items())


def test_a_shard_that_only_some_stores_got_is_finished_by_the_next_run(run, monkeypatch):
    given = {"dtype": "float32", "shard_rows": 2, "site": "heads,residual"}
    whole = run("whole", **given).stores
    write, seen = FeatureWriter.write, []

    def killed(self, spec, content):
        seen.append((self.path.name, spec.name))
        if seen[-1] == ("heads", "test-00000.h5"):
            raise KeyboardInterrupt
        return write(self, spec, content)

    with monkeypatch.context() as patched:
        patched.setattr(FeatureWriter, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run("cut", **given)
    assert seen.index(("residual", "test-00000.h5")) < seen.index(("heads", "test-00000.h5"))
    cut = whole["heads"].path.parent.parent / "cut"
    assert (cut / "residual/test-00000.h5").exists()
    assert not (cut / "heads/test-00000.h5").exists()
    for label, store in run("cut", **given).stores.items():
        equal(whole[label], store)


def test_a_site_that_comes_later_has_the_rows_of_its_own_run(run, inputs, rows):
    """The first run skips an image that the second can read; a prompt recurs in each shard."""
    train, test = inputs.few_shots()
    lines = [json.loads(line) for line in test.read_text().splitlines()]
    inputs.rows("test.jsonl", [{**lines[0], "image": "late.png"}, *lines, *lines[:2]])
    given = {"dtype": "float32", "shard_rows": 4, "train": train, "test": test}
    first = run("late", site="heads,norm", **given).store
    assert first.skipped()["id"].to_list() == ["test:0"]
    inputs.image("late.png", 7)
    later = run("late", site="heads,norm,residual", **given).stores
    fresh = run("fresh", site="heads,norm,residual", **given).stores
    equal(fresh["residual"], later["residual"])
    assert later["heads"].skipped()["id"].to_list() == ["test:0"]
    mended = run("late", site="heads,norm,residual", retry_skipped=True, **given).stores
    for label, store in fresh.items():
        same(store, mended[label])


def test_appended_examples_come_to_all_sites(run, inputs):
    train, test = inputs.few_shots()
    given = {"dtype": "float32", "train": train, "site": "heads,residual"}
    run("grown", test=test, **given)
    extra = {"image": inputs.image("new.png", 50), "question": "What is it?", "label": "a"}
    more = inputs.rows("more.jsonl", [{"id": "new", **extra}])
    grown = run("grown", test=more, append=True, **given).stores
    later = run("grown", test=more, append=True, **(given | {"site": "heads,residual,mlp"})).stores
    for store in (*grown.values(), later["mlp"]):
        assert len(store.examples("test")) == 6
        assert store.manifest.plan == grown["heads"].manifest.plan
    with pytest.raises(StoreMismatchError, match=r"\n  site: residual in the store, mlp now\n"):
        run("grown/residual", test=more, append=True, **(given | {"site": "mlp"}))


def test_a_row_that_one_site_makes_infinite_is_skipped_in_all(run, monkeypatch):
    result, passes = Launched.result, []

    def poisoned(self):
        found = result(self)
        passes.append(1)
        if len(passes) == 9:
            found.heads[3][0, -1, 0] = np.inf  # of the residual's first layer
        return found

    monkeypatch.setattr(Launched, "result", poisoned)
    given = {"dtype": "float32", "batch_size": 1, "batch_check": "off", "workers": 0}
    done = run(site="heads,residual", **given)
    ((split, name, reason),) = done.skipped
    assert reason.startswith("residual L0.H0 is NaN or infinite in float32")
    for store in done.stores.values():
        assert store.skipped(split)["id"].to_list() == [name]
    equal_ids = [store.examples(split)["id"].to_list() for store in done.stores.values()]
    assert equal_ids[0] == equal_ids[1]


@pytest.mark.parametrize(
    "family",
    ["qwen2_vl", *(pytest.param(n, marks=pytest.mark.slow) for n in ("llava", "idefics3"))],
)
def test_means_over_an_image_are_made_once_whatever_is_asked(run, rows, towers, family):
    given = {"train": rows("train", range(2)), "test": rows("test", range(3), 40)}
    given |= {"dtype": "float32", "family": family, "site": "heads,residual"}
    apart = run("apart", pooling="image-mean", reuse="off", **given).stores
    once = run("once", pooling="image-mean", **given).stores
    assert once["residual-image-mean"].manifest.batching["sharing"]["name"] == "prefixes"
    for label, store in once.items():
        same(apart[label], store)
        shown = store.examples("test")["media_sha256"].list.first()
        features = store.features("test")
        for image in shown.unique():
            of_image = features[:, shown == image]
            np.testing.assert_array_equal(of_image, np.repeat(of_image[:, :1], 4, axis=1))
    both = run("both", **(given | {"site": "heads,residual-image-mean,norm"})).stores
    equal(once["residual-image-mean"], both["residual-image-mean"])
    same(run("last", **(given | {"site": None})).store, both["heads"])


def test_a_dry_run_states_the_size_of_each_site(inputs, savs, tmp_path):
    train, test = inputs.few_shots()
    command = ["extract", "general", "--train", train, "--test", test, "--model", "demo"]
    command += ["--out", tmp_path / "all", "--site", "heads,residual-slices,norm-slices"]
    said = json.loads(savs(*command, "--dry-run", "--json").stdout)
    assert not (tmp_path / "all").exists()
    done = json.loads(savs(*command, "--json").stdout)
    assert [*said["site_bytes"]] == [*done["sites"]] == ["heads", "residual-slices", "norm-slices"]
    assert said["bytes"] == sum(said["site_bytes"].values())
    for site, path in done["sites"].items():
        store = open_store(path)
        values = sum(len(grid.heads) * grid.head_dim for grid in store.grid)
        tables = said["site_bytes"][site] - 11 * values * 4
        assert 0 < tables < store.facts["bytes"] - 11 * values * 4
    shown = savs("extract", *command[1:], "--dry-run").stdout
    assert "norm-slices" in shown


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Write rows with one question, and return their folder with the files' names."""
    from input_folder import Inputs

    inputs = Inputs(tmp_path_factory.mktemp("photos"))
    for split, count in (("train", 8), ("test", 6)):
        lines = [
            {
                "id": f"{split}{n}.png",
                "image": inputs.image(f"{split}{n}.png", n + 50 * (split == "test")),
                "question": "What is it?",
                "label": "ab"[n % 2],
            }
            for n in range(count)
        ]
        inputs.rows(f"{split}.jsonl", lines)
    return inputs.root


@pytest.fixture(scope="module")
def stores(photos):
    from savs import extract

    files = {"train": photos / "train.jsonl", "test": photos / "test.jsonl"}
    site = "heads,residual,norm,mlp-slices,residual-image-mean"
    return extract("general", model="demo", out=photos / "all", site=site, **files).stores


@pytest.mark.costly
@pytest.mark.parametrize("label", ["residual", "norm", "mlp-slices", "residual-image-mean"])
def test_a_classifier_of_a_site_reads_that_site(stores, photos, label, tmp_path):
    store = stores[label]
    selection = select(store, heads=min(3, len(store.heads)), readout="lda")
    expected = evaluate(store, selection).predictions["prediction"].to_list()
    folder = save_selection(selection, tmp_path / "made")
    names = [photos / f"test{n}.png" for n in range(6)]
    done = classify(folder, names, model="demo", out=tmp_path / "new.csv")
    assert done.predictions["prediction"].to_list() == expected
    again = classify(folder, names, model="demo", out=tmp_path / "new.csv")
    assert (again.rows, again.predictions["prediction"].to_list()) == (0, expected)
    held = open_store(tmp_path / "new.csv.store")
    assert held.manifest.identity.site == label
    assert sorted(held.heads) == sorted(selection.heads)
    for cache in (False, tmp_path / "cache"):
        loaded = load(folder, model="demo", cache=cache)
        assert loaded.predict(names).tolist() == expected
        assert loaded.site == label
    reason = f"it reads attention heads, and the classifier chose from: {label}"
    assert why_not_standalone(selection) == reason


def test_a_fitted_estimator_of_a_site_is_the_selection_of_its_store(stores, photos, tmp_path):
    names = [photos / f"train{n}.png" for n in range(8)]
    given = {"question": "What is it?", "readout": "lda", "cache": tmp_path, "heads": 3}
    labels = list("abababab")
    residual = SavsClassifier("demo", site="residual", **given).fit(names, labels)
    heads = SavsClassifier("demo", **given).fit(names, labels)
    assert residual.selection_.heads == select(stores["residual"], heads=3, readout="lda").heads
    assert heads.selection_.heads == select(stores["heads"], heads=3, readout="lda").heads


def test_a_selection_of_another_site_is_refused(stores, photos, tmp_path, savs):
    selection = select(stores["residual"], heads=3)
    folder = save_selection(selection, tmp_path / "made")
    message = r"does not fit .*\n  site: residual in the selection, heads in the store\n"
    with pytest.raises(SelectionError, match=message):
        evaluate(stores["heads"], selection)
    done = savs("evaluate", stores["heads"].path, "--selection", folder)
    assert done.returncode == 1
    assert "site: residual in the selection, heads in the store" in done.stderr
    few = save_selection(select(stores["heads"], heads=3), tmp_path / "few")
    store = stores["heads"]
    from savs import extract

    given = {"train": photos / "train.jsonl", "test": photos / "test.jsonl", "model": "demo"}
    with pytest.raises(SelectionError, match="site: residual in the selection, mlp now"):
        extract("general", out=tmp_path / "x", heads=folder, site="mlp", **given)
    kept = extract("general", out=tmp_path / "kept", heads=folder, **given).store
    assert kept.manifest.identity.site == "residual"
    np.testing.assert_array_equal(
        kept.features("test", raw=True), stores["residual"].features("test", kept.heads, raw=True)
    )
    with pytest.raises(ParameterError, match="`heads` chooses heads of one site"):
        extract("general", out=tmp_path / "x", heads=few, site="heads,mlp", **given)
    assert store.heads


def test_maps_of_attention_are_of_heads(stores, photos):
    store = stores["residual"]
    selection = select(store, heads=3)
    folder = save_selection(selection, store.path / "results/vote")
    from savs import save_evaluation

    save_evaluation(evaluate(store, selection), folder)
    assert explain(folder, n=1).examples
    with pytest.raises(ReportError, match=r"attention maps show heads, and .* the site residual"):
        explain(folder, n=1, attention_maps=True, media_root=photos)
    shutil.rmtree(folder)


def test_folders_of_one_and_of_several_sites_are_not_mixed(run, tmp_path, weightless):
    run("one", model="demo")
    several = run("several", model="demo", site="heads,norm").stores
    weightless()
    with pytest.raises(StoreMismatchError, match="is a store of one site, and several sites get"):
        run("one", model="demo", site="heads,norm")
    with pytest.raises(StoreMismatchError, match=r"holds heads but no store\.json"):
        run("several", model="demo")
    with pytest.raises(StoreMismatchError, match=r"\n  site: heads in the store, norm now\n"):
        run("one", model="demo", site="norm")
    with pytest.raises(StoreNotFoundError, match=r"pass one that .* such as .*several/heads"):
        open_store(tmp_path / "several")
    assert run("several", model="demo", site="heads,norm").rows == 0
    assert run("several/norm", model="demo", site="norm").rows == 0
    assert several


def test_other_plans_next_to_each_other_are_refused(run):
    run("mixed/norm", model="demo", site="norm", shard_rows=4)
    run("mixed/mlp", model="demo", site="mlp", shard_rows=2)
    with pytest.raises(StoreMismatchError, match=r"mixed/norm has its examples in other shards"):
        run("mixed", model="demo", site="mlp,norm")


def test_what_cannot_be_read_is_refused_before_weights_are(run, inputs, tiny_model, weightless):
    words = inputs.rows("words.jsonl", [{"id": "w", "question": "Why?", "label": "a"}])
    kosmos, clip = tiny_model("kosmos-2"), tiny_model("clip")
    weightless()
    message = "the test example 'w' has no image, so it has no mean over one; leave it out"
    with pytest.raises(ModelError, match=message):
        run(test=words, pooling="image-mean")
    with pytest.raises(ModelError, match=message):
        run(test=words, site="heads,residual-image-mean")
    (inputs.root / "a.wav").write_bytes(wav(np.zeros(1600, np.float32)))
    sound = {"id": "w", "audio": "a.wav", "question": "Why?", "label": "a"}
    with pytest.raises(ModelError, match=message):
        run(test=inputs.rows("sound.jsonl", [sound]), pooling="image-mean")
    with pytest.raises(ModelError, match=r"does not say which token .* of an image"):
        run(model=str(kosmos), pooling="image-mean")
    for options in ({"site": "norm"}, {"site": "heads,norm"}, {"pooling": "image-mean"}):
        with pytest.raises(ModelError, match=r"is a dual encoder: .* no layer is read; drop"):
            run(model=str(clip), **options)
    with pytest.raises(ModelError, match=r"is a dual encoder: .* no layer is read; drop"):
        SavsClassifier(str(clip), question="?", site="norm").fit(
            [inputs.root / "images/train0.png", inputs.root / "images/train1.png"], ["a", "b"]
        )
    with pytest.raises(ParameterError, match="`site` is 'hedas', expected one of heads, residual"):
        run(site="hedas")
