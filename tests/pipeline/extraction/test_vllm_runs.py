"""Runs by vLLM, with the stand-in; `vllm/` has those by vLLM itself."""

import json
import os

import numpy as np
import polars as pl
import pytest
from doc_pages import ROOT, blocks
from settled_ways import ways_tried_each_time as ways_tried_each_time
from stand_in_vllm import ARCHITECTURE, VERSION, put_in_place

from savs import classify, extract, open_store
from savs.pipeline.errors import MissingExtraError, ModelError
from savs.pipeline.extraction.entry_points import check_model
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.vllm_heads import READS_SITES
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.names import HEADS_IN_VLLM
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough
PAGE = ROOT / "docs" / "guide" / "vllm.md"


@pytest.fixture
def vllm(monkeypatch):
    return put_in_place(monkeypatch)


@pytest.fixture
def said():
    return []


@pytest.fixture
def run(inputs, model, said, tmp_path):
    """Return a function that extracts a few images of two classes into a folder."""
    files = dict(zip(("train", "test"), inputs.few_shots(), strict=True))

    def extracted(name, **options):
        given = {"media_root": inputs.root, "model": model, "out": tmp_path / name} | files
        return extract("general", **given | options, reporting=Reporting(say=said.append))

    return extracted


@pytest.fixture
def model(tiny_model):
    return tiny_model("qwen2_vl")


def test_a_store_of_vllm_is_that_of_transformers(vllm, run, said):
    sites = "heads,residual,attention,mlp,norm"
    ours = run("transformers", site=sites)
    theirs = run("vllm", site=sites, engine="vllm", batch_size=3)
    for site, store in ours.stores.items():
        other = theirs.stores[site]
        assert other.manifest.identity == store.manifest.identity
        for split in ("train", "test"):
            np.testing.assert_allclose(other.features(split), store.features(split), atol=2e-5)
    batching = theirs.store.manifest.batching
    assert batching["attention"] == {"name": "vllm", "seen": VERSION}
    assert "0.0% of the heads move" in batching["batches"]["seen"]
    assert f"vLLM {VERSION} {batching['batches']['seen']}" in said
    assert not hasattr(vllm.registry.models[ARCHITECTURE].load_model_cls(), READS_SITES)
    assert HEADS_IN_VLLM not in os.environ  # another vLLM of this process is left alone
    (engine,) = vllm.arguments
    assert (engine["enforce_eager"], engine["runner"]) == (True, "pooling")
    assert (engine["load_format"], engine["trust_remote_code"]) == ("safetensors", False)


def test_boxes_are_cropped_before_either_engine_reads_them(vllm, run, inputs):
    image = inputs.image("boxed.png", 1, (60, 100))
    boxes = [[20, 10, 60, 50], [0.5, 0.0, 1.0, 1.0], [20, 10, 200, 50]]
    rows = [{"image": image, "box": box, "question": "Q", "label": "a"} for box in boxes]
    test = inputs.rows("boxed.jsonl", rows)
    ours, theirs = run("ours", test=test), run("theirs", test=test, engine="vllm", batch_size=3)
    assert [i for _, i, _ in theirs.skipped] == [i for _, i, _ in ours.skipped] == ["boxed:2"]
    features = ours.store.features("test")
    np.testing.assert_allclose(theirs.store.features("test"), features, atol=2e-5)
    assert np.abs(features[:, 0] - features[:, 1]).max() > 1e-3


def test_the_run_goes_on_by_either_engine(vllm, run):
    """Each engine settles anew: what the other has tried says nothing of it."""
    assert run("store", engine="vllm", retry_skipped=True).rows == 11
    assert run("store").rows == 0
    store = run("store", engine="vllm").store
    (store.path / "test-00000.h5").unlink()
    assert run("store").rows == 5
    assert open_store(store.path).manifest.batching["attention"]["name"] != "vllm"


def test_other_features_end_the_run_and_leave_no_shard(vllm, run, tmp_path, said):
    vllm.change = lambda data: data.roll(1)
    with pytest.raises(ModelError, match=r"^vLLM 0\.0\.1 gives other features of qwen2_vl"):
        run("store", engine="vllm")
    assert not list((tmp_path / "store").glob("*.h5"))
    assert run("store", engine="vllm", batch_check="warn").rows == 11
    vllm.change = lambda data: data
    assert run("other", engine="vllm", batch_check="off").rows == 11
    assert f"vLLM {VERSION} nothing was compared" in said


def test_rows_of_another_store_are_what_vllm_is_compared_with(vllm, run, said, inputs):
    store = run("transformers").store.path
    run("vllm", engine="vllm", compare_with=store)
    assert any(f"against 11 rows of {store}: 0.0% of the heads" in line for line in said)
    with pytest.raises(ModelError, match="has heads of qwen2_vl, expected the sites and heads"):
        run("norm", engine="vllm", compare_with=store, site="norm")
    others = [{"image": "images/test0.png", "question": f"{c}?", "label": c} for c in "ab"]
    files = {name: inputs.rows(f"{name}-other.jsonl", others) for name in ("train", "test")}
    with pytest.raises(ModelError, match="has none of the examples of this run"):
        run("other", engine="vllm", compare_with=store, **files)


def test_a_prompt_that_vllm_refuses_is_a_skipped_row(vllm, run):
    vllm.refuse = lambda prompt: len(prompt["prompt_token_ids"]) % 3 == 0
    done = run("store", engine="vllm", batch_check="off")
    assert 0 < len(done.skipped) < 11
    assert {reason for *_, reason in done.skipped} == {"vLLM refuses it: the prompt is too long"}
    assert done.rows == 11


def test_a_prompt_of_each_number_of_images_is_compared(vllm, run, inputs):
    """Of 12 rows one has two images: it runs alone, with all that are compared, and as a row."""
    images = []
    vllm.refuse = lambda prompt: images.append(len(prompt["multi_modal_data"]["image"]))
    two = [inputs.image("one.png", 50), inputs.image("two.png", 51)]
    rows = [json.loads(line) for line in (inputs.root / "test.jsonl").read_text().splitlines()]
    rows.append({"images": two, "question": "Which?", "label": "a"})
    run("store", engine="vllm", test=inputs.rows("more.jsonl", rows))
    assert images.count(2) == 3


def test_an_engine_that_ends_ends_the_run(vllm, run):
    vllm.dies = True
    with pytest.raises(ModelError, match="vLLM has ended while it ran prompts"):
        run("store", engine="vllm", batch_check="off")


def test_values_of_another_width_name_the_plugin(vllm, run):
    vllm.change = lambda data: data[:-1]
    with pytest.raises(ModelError, match=r"vLLM embeds 143 values .* expected 144 .*VLLM_PLUGINS"):
        run("store", engine="vllm")


def test_a_classifier_predicts_the_same_by_vllm(vllm, run, model, inputs, tmp_path):
    from savs import save_selection, select

    store = run("transformers").store
    save_selection(select(store, heads=3), tmp_path / "vote")
    options = {"model": model, "media_root": inputs.root, "question": "What is it?"}
    images = str(inputs.root / "images")
    ours = classify(tmp_path / "vote", images, **options)
    theirs = classify(tmp_path / "vote", images, engine="vllm", **options)
    columns = ["id", "prediction"]
    assert theirs.predictions[columns].equals(ours.predictions[columns])


def test_the_program_of_the_page_classifies_what_vllm_embeds(
    vllm, model, inputs, tmp_path, monkeypatch
):
    """With a tiny checkpoint; its prompts are those of a run, and so are its heads."""
    monkeypatch.setenv(HEADS_IN_VLLM, "")  # the program sets it
    monkeypatch.chdir(inputs.root)
    question = "Which animal is this?"
    rows = [
        {"image": inputs.image(f"{n}.png", n), "label": "ab"[n % 2], "split": split}
        for n, split in enumerate(["train"] * 6 + ["test"] * 4)
    ]
    pl.DataFrame(rows).write_csv("rows.csv")
    (code,) = blocks(PAGE, "python")
    code = code.replace('"Qwen/Qwen2-VL-7B-Instruct", 128', f"{str(model)!r}, 12")
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})
    imported = open_store("own")
    asked = [row | {"question": question} for row in rows]
    files = {s: [r for r in asked if r["split"] == s] for s in ("train", "test")}
    store = extract(
        "general", **files, media_root=inputs.root, model=model, out=tmp_path / "store"
    ).store
    np.testing.assert_allclose(imported.features("test"), store.features("test"), atol=2e-5)


@pytest.mark.parametrize(
    ("options", "run_options", "message"),
    [
        ({"device": "cuda:1"}, {}, "`device` is for models that transformers runs"),
        ({"model_kwargs": {"load_format": "pt"}}, {}, "has 'load_format', which"),
        ({"adapter": "some"}, {}, "`adapter` is for models"),
        ({}, {"answers": "generate"}, "`answers` is for models"),
        ({}, {"workers": 2}, "`workers` is for models"),
        ({}, {"pooling": "image-mean"}, "`pooling` is for models"),
    ],
)
def test_what_only_transformers_gives_is_refused(vllm, model, options, run_options, message):
    from savs.pipeline.extraction.model.vllm_model import require_vllm

    loaded = ModelRun(ModelOptions(model=model), RunOptions())
    given = ModelOptions(model=model, engine="vllm", **options)
    with pytest.raises(ModelError, match=message):
        require_vllm(given, RunOptions(**run_options), loaded.encoder)


def test_positions_of_more_axes_than_vllm_knows_are_refused(vllm, run):
    with pytest.raises(ModelError, match=r"demo have 6 sections \(mrope_section\)"):
        run("store", model="demo", engine="vllm")


def test_what_reads_the_model_itself_is_not_for_vllm(vllm, model):
    with pytest.raises(ModelError, match="`engine` vllm is for runs that store or classify"):
        check_model(model, engine="vllm")


def test_without_vllm_nothing_is_loaded(run, weightless):
    weightless()
    with pytest.raises(MissingExtraError, match="`engine` needs vLLM, which is not installed"):
        run("store", engine="vllm")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("extract", "general", "--out", "o"), "--engine needs vLLM, which is not installed"),
        (("train",), "--engine needs vLLM, which is not installed"),
        (("train", "--engine", "local"), "--engine is 'local', expected transformers, or vllm"),
        (("train", "--engine", "vllm,workers=1"), "expected transformers, or vllm, then"),
    ],
    ids=["extract", "train", "local", "workers"],
)
def test_commands_take_the_engine(savs, inputs, command, message):
    train, test = inputs.few_shots()
    files = ("--test", test, "--media-root", inputs.root, "--model", "demo")
    source = ("--train", train) if command[0] == "extract" else (train, "--out", inputs.root / "o")
    words = ("--engine", "vllm,ranks=2") if "--engine" not in command else ()
    done = savs(*command, *source, *files, *words)
    assert done.returncode == (2 if command[0] == "train" and not words else 1), done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "sglang"}, "`engine` is 'sglang', expected transformers or vllm"),
        ({"ranks": 2}, "`ranks`, from 1 on, and `compare_with` are for `engine` vllm"),
        ({"compare_with": "store"}, "`ranks`, from 1 on, and `compare_with` are for `engine` vllm"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        ModelOptions(model="demo", **options)
