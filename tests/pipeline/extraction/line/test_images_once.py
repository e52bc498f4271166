"""Images, and what prompts about them begin with, are computed once over whole runs."""

import json
import re
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from reuse_runs import after_the_proof, same

from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.prepare import encode_image
from savs.pipeline.extraction.line.shared_forward import ImageFeatures, SharedForward
from savs.pipeline.extraction.model.answers import NOTHING
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.running.progress import Reporting
from savs.stores.shard.read import open_shard

pytestmark = pytest.mark.thorough


@pytest.fixture
def given(rows):
    """Return options of two images to train on, and some to test, four questions about each."""

    def options(images, **more):
        train, test = rows("train", range(2)), rows("test", range(images), 50)
        return {"train": train, "test": test, "dtype": "float32"} | more

    return options


@pytest.fixture
def require_same(run):
    """Require that a run which shares images gives what one that shares nothing gives.

    Returns what the first said; `counts` are cleared once sharing was tried.
    """

    def compare(options, *counts, apart=()):
        plain = run("plain", **options, reuse="off").store
        reporting, said = after_the_proof(*counts)
        same(plain, run("shared", **options, reporting=reporting).store, *apart)
        return said

    return compare


@pytest.mark.parametrize(
    "shard_rows", [3, *(pytest.param(rows, marks=pytest.mark.costly) for rows in (1, 7, 64))]
)
def test_an_image_enters_the_vision_tower_once(run, given, towers, shard_rows):
    options = given(6, shard_rows=shard_rows, batch_size=8)
    reporting, said = after_the_proof(towers)
    plain = run("plain", **options, reuse="off", reporting=reporting).store
    assert sum(towers) == 8 * 4
    assert "each image is computed for every prompt about it: nothing was compared" in said
    shared = run("shared", **options, reporting=reporting).store
    assert sum(towers) == 8
    assert "each image, and what prompts about it begin with, is computed once" in said
    levels = [store.manifest.batching["sharing"]["name"] for store in (plain, shared)]
    assert levels == ["off", "prefixes"]
    same(plain, shared)


@pytest.mark.thorough
def test_workers_share_images_too(run, given, towers):
    options = given(3, shard_rows=5, max_pixels=28 * 28 * 4)
    alone = run("alone", **options).store
    reporting, _ = after_the_proof(towers)
    same(alone, run("workers", **options, workers=2, reporting=reporting).store, 0, 0)
    assert sum(towers) == 5


def test_the_file_keeps_its_order_and_shards_are_grouped_by_image(run, rows):
    test = rows("test", range(6), 50)
    store = run(train=rows("train", range(2)), test=test, shard_rows=4).store
    written = [json.loads(line)["image"] for line in test.read_text().splitlines()]
    assert [media[0] for media in store.examples("test")["media"]] == written
    for spec in store.present("test"):
        with open_shard(store.path / spec.name, spec, store.manifest) as shard:
            assert len({media[0] for media in shard.examples(["media"])["media"]}) == 1


@pytest.mark.costly
@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [("float32", 1e-5, 1e-6), ("bfloat16", 2e-2, 2e-2)]
)
def test_a_run_that_ends_within_the_questions_of_an_image_goes_on_to_the_same_store(
    run, given, towers, dtype, rtol, atol
):
    options = given(4, dtype=dtype, shard_rows=3)
    whole = run("whole", **options).store

    @contextmanager
    def ended(total):
        done = []

        def count(more):
            done.append(more)
            if sum(done) > 17:  # eight for training, and some of the second image for testing
                raise KeyboardInterrupt

        yield count

    with pytest.raises(KeyboardInterrupt):
        run("resumed", **options, reporting=Reporting(progress=ended))
    reporting, _ = after_the_proof(towers)
    resumed = run("resumed", **options, reporting=reporting)
    assert 0 < resumed.rows < 16
    assert 0 < sum(towers) < 4
    same(whole, resumed.store, rtol, atol)


@pytest.mark.thorough
def test_images_in_other_company_enter_the_tower_once(require_same, inputs, towers):
    names = [inputs.image(f"{n}.png", n) for n in range(4)]
    found = [
        {"images": [names[one], names[other]], "question": question, "label": "ab"[one % 2]}
        for one in range(4)
        for other in range(4)
        for question in ("Same?", "Is <image> like <image>?")
    ]
    options = {"train": inputs.rows("train.jsonl", found[::3]), "dtype": "float32", "batch_size": 4}
    require_same(options | {"test": inputs.rows("test.jsonl", found)}, towers)
    assert sum(towers) == 4


@pytest.mark.thorough
def test_images_that_were_dropped_are_computed_again(require_same, given, towers, monkeypatch):
    keep = ImageFeatures._keep

    def keep_none(self, key, features):
        self.most_bytes = 0
        keep(self, key, features)

    monkeypatch.setattr(ImageFeatures, "_keep", keep_none)
    require_same(given(4, batch_size=3), towers)
    assert 6 < sum(towers) < 24


@pytest.mark.thorough
@pytest.mark.parametrize(
    "family",
    [
        "llava_next",
        "qwen3_5",
        *(pytest.param(f, marks=pytest.mark.costly) for f in ("gemma3", "idefics3")),
    ],
)
def test_photos_of_several_sizes_share(require_same, given, tiny_model, family):
    said = require_same(given(4, model=str(tiny_model(family))), apart=(1e-3, 1e-4))
    assert "each image, and what prompts about it begin with, is computed once" in said
    assert not any("from some batch on" in line for line in said)


def test_what_fails_while_images_are_shared_runs_the_plain_way_and_is_told(
    require_same, given, monkeypatch
):
    launch = SharedForward.launch
    proving, failed = [True], []

    def failing(self, batch, asked=NOTHING):
        if proving:
            return launch(self, batch, asked)
        failed.append(batch.requests)
        raise ValueError("tokens and features do not match")

    monkeypatch.setattr(SharedForward, "launch", failing)
    said = require_same(given(3, batch_size=4), proving)
    assert len(failed) == 1
    assert said[-1] == (
        "images were computed for each prompt from some batch on: ValueError: tokens and features"
        " do not match"
    )


def test_shared_batches_that_do_not_fit_run_in_pieces(require_same, given, monkeypatch):
    run_pass = LoadedModel.run
    proving = [True]

    def short_of_memory(self, arguments, asked=NOTHING, ends=None, **outputs):
        if not proving and ends is not None and len(ends) > 3:
            raise torch.OutOfMemoryError("no room")
        return run_pass(self, arguments, asked, ends, **outputs)

    monkeypatch.setattr(LoadedModel, "run", short_of_memory)
    said = require_same(given(3), proving)
    assert any(re.match(r"\d+ batch(es)? did not fit the memory", line) for line in said)


def test_what_is_kept_of_images_is_bounded(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    inputs = {
        n: encode_image(model.encoder, Image.new("RGB", (64, 48), (n, 9, 9)), raw=False)
        for n in range(3)
    }
    vision = {(str(n), 0): value for n, value in inputs.items()}
    features = ImageFeatures(model, None)
    first = features.of([("0", 0)], vision).pooler_output[0]
    features = ImageFeatures(model, None, most_bytes=2 * first.nbytes)
    for key in (("0", 0), ("1", 0), ("0", 0), ("2", 0)):
        features.of([key], vision)
    assert list(features._cached) == [("0", 0), ("2", 0)]
    assert features._bytes == 2 * first.nbytes
    features.forget()
    assert (features._bytes, len(features._cached)) == (0, 0)
