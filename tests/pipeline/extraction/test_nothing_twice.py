"""Nothing is computed twice: images, prompts and what prompts begin with, over whole runs."""

import json
import random
import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLModel

from savs.pipeline import load_model
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS
from savs.pipeline.extraction.model.image_features import ImageFeatures
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.shared_inputs import encode_image
from savs.pipeline.extraction.shared_forward import SharedForward
from savs.pipeline.running.progress import Reporting
from savs.stores.shard.read import open_shard

QUESTIONS = ("What is it?", "Is it the one that you saw before?", "Where?", "Why is it there?")


@pytest.fixture
def towers(monkeypatch):
    """Count the images that enter the vision tower."""
    seen = []
    features = Qwen2VLModel.get_image_features

    def counted(self, pixel_values, image_grid_thw=None, **options):
        seen.append(len(image_grid_thw))
        return features(self, pixel_values, image_grid_thw, **options)

    monkeypatch.setattr(Qwen2VLModel, "get_image_features", counted)
    return seen


@pytest.fixture
def rows(inputs):
    """Write a shuffled file: some images, four questions about each."""

    def make(name, images, seed=0):
        shown = [inputs.image(f"{name}{n}.png", seed + n, (40, 56 + 28 * (n % 2))) for n in images]
        found = [
            {"image": image, "question": question, "label": "ab"[len(question) % 2]}
            for n, image in enumerate(shown)
            for question in QUESTIONS
        ]
        random.Random(name).shuffle(found)
        return inputs.rows(f"{name}.jsonl", found)

    return make


def same(one, other, rtol=1e-4, atol=1e-5):
    for split in ("train", "test"):
        assert one.examples(split).equals(other.examples(split))
        np.testing.assert_allclose(one.features(split), other.features(split), rtol, atol)


def after_the_proof(*counts):
    """Return a reporting that clears counts once shards begin, and the lines that it is told."""
    said = []

    @contextmanager
    def progress(total):
        for count in counts:
            count.clear()
        yield lambda rows: None

    return Reporting(said.append, progress), said


@pytest.mark.parametrize(
    "shard_rows", [3, *(pytest.param(rows, marks=pytest.mark.thorough) for rows in (1, 7, 64))]
)
def test_an_image_enters_the_vision_tower_once(run, rows, towers, shard_rows):
    given = {"train": rows("train", range(2)), "test": rows("test", range(6), 50)}
    given |= {"dtype": "float32", "shard_rows": shard_rows, "batch_size": 8}
    reporting, said = after_the_proof(towers)
    plain = run("plain", **given, reuse="off", reporting=reporting).store
    assert sum(towers) == 8 * 4
    assert "each image is computed for every prompt about it: nothing was compared" in said
    shared = run("shared", **given, reporting=reporting).store
    assert sum(towers) == 8
    assert "each image, and what prompts about it begin with, is computed once" in said
    levels = [store.manifest.batching["sharing"]["level"] for store in (plain, shared)]
    assert levels == ["off", "prefixes"]
    same(plain, shared)


@pytest.mark.thorough
def test_workers_share_images_too(run, rows, towers):
    given = {"train": rows("train", range(2)), "test": rows("test", range(3), 50)}
    given |= {"dtype": "float32", "shard_rows": 5, "max_pixels": 28 * 28 * 4}
    alone = run("alone", **given).store
    reporting, _ = after_the_proof(towers)
    same(alone, run("workers", **given, workers=2, reporting=reporting).store, 0, 0)
    assert sum(towers) == 5


def test_the_file_keeps_its_order_and_shards_are_grouped_by_image(run, rows):
    test = rows("test", range(6), 50)
    store = run(train=rows("train", range(2)), test=test, shard_rows=4).store
    written = [json.loads(line)["image"] for line in test.read_text().splitlines()]
    assert [media[0] for media in store.examples("test")["media"]] == written
    for spec in store.present("test"):
        with open_shard(store.path / spec.name, spec, store.manifest) as shard:
            assert len({media[0] for media in shard.examples(["media"])["media"]}) == 1


@pytest.fixture
def passes(monkeypatch):
    """Keep the number of prompts of each forward pass that gives features."""
    seen = []
    run = LoadedModel.run

    def counted(self, arguments, answers, ends=None):
        seen.append(len(arguments["input_ids"]))
        return run(self, arguments, answers, ends)

    monkeypatch.setattr(LoadedModel, "run", counted)
    return seen


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("reuse", ["auto", pytest.param("off", marks=pytest.mark.thorough)])
def test_a_prompt_that_recurs_in_another_shard_or_split_runs_once(
    run, inputs, rows, passes, reuse, workers
):
    train = rows("train", range(2))
    lines = train.read_text()
    again = inputs.rows("test.jsonl", [])
    copy = inputs.root / "copy.png"
    shutil.copy(inputs.root / "train0.png", copy)
    again.write_text(
        rows("other", range(3), 70).read_text() + lines + lines.replace("train0", "copy")
    )
    reporting, _ = after_the_proof(passes)
    given = {"train": train, "test": again, "dtype": "float32", "shard_rows": 3, "batch_size": 4}
    given |= {"reuse": reuse, "answers": True, "thumbnails": True}
    store = run(**given, workers=workers, reporting=reporting).store
    assert sum(passes) == 8 + 12
    train_table, test_table = store.examples("train"), store.examples("test")
    places = {
        (*sha, prompt): row
        for row, (sha, prompt) in enumerate(train_table["media_sha256", "prompt"].iter_rows())
    }
    same_rows = [
        (places[*sha, prompt], row)
        for row, (sha, prompt) in enumerate(test_table["media_sha256", "prompt"].iter_rows())
        if (*sha, prompt) in places
    ]
    assert len(same_rows) == 8 + 8
    ours, theirs = map(list, zip(*same_rows, strict=True))
    for read in (store.features, lambda split: store.output(split, "answers")[None]):
        np.testing.assert_array_equal(read("train")[:, ours], read("test")[:, theirs])
    assert train_table["thumbnail"][ours].equals(test_table["thumbnail"][theirs])


def test_a_resumed_run_takes_prompts_from_the_shards_that_are_there(run, rows, passes):
    train = rows("train", range(3))
    given = {"train": train, "test": train, "dtype": "float32", "shard_rows": 4}
    whole = run("whole", **given).store
    run("resumed", **given)
    for spec in whole.present("test"):
        (whole.path.parent / "resumed" / spec.name).unlink()
    reporting, said = after_the_proof(passes)
    same(whole, run("resumed", **given, reporting=reporting).store, 0, 0)
    assert passes == []
    assert any("12 examples to do" in line for line in said)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [("float32", 1e-5, 1e-6), ("bfloat16", 2e-2, 2e-2)]
)
def test_a_run_that_ends_within_the_questions_of_an_image_goes_on_to_the_same_store(
    run, rows, towers, dtype, rtol, atol
):
    given = {"train": rows("train", range(2)), "test": rows("test", range(4), 50)}
    given |= {"dtype": dtype, "shard_rows": 3}
    whole = run("whole", **given).store

    @contextmanager
    def ended(total):
        done = []

        def count(more):
            done.append(more)
            if sum(done) > 17:  # eight for training, and some of the second image for testing
                raise KeyboardInterrupt

        yield count

    with pytest.raises(KeyboardInterrupt):
        run("resumed", **given, reporting=Reporting(progress=ended))
    reporting, _ = after_the_proof(towers)
    resumed = run("resumed", **given, reporting=reporting)
    assert 0 < resumed.rows < 16
    assert 0 < sum(towers) < 4
    same(whole, resumed.store, rtol, atol)


@pytest.mark.thorough
def test_a_prompt_that_cannot_be_run_is_refused_in_every_shard(run, inputs, rows):
    train = rows("train", range(2))
    (inputs.root / "bad.png").write_bytes((inputs.root / "train0.png").read_bytes()[:60])
    bad = json.dumps({"image": "bad.png", "question": "What?", "label": "a"}) + "\n"
    train.write_text(bad + train.read_text())
    test = inputs.rows("test.jsonl", [])
    test.write_text(rows("other", range(1), 9).read_text() + bad)
    store = run(train=train, test=test, shard_rows=2).store
    assert [store.skipped(split)["id"].to_list() for split in ("train", "test")] == [
        ["train:0"],
        ["test:4"],
    ]
    assert len(set(store.skipped()["reason"])) == 1


@pytest.mark.thorough
def test_thumbnails_that_are_asked_for_later_are_made(run, rows):
    train = rows("train", range(2))
    first = run(train=train, test=train, shard_rows=4).store
    for spec in first.present("test"):
        (first.path / spec.name).unlink()
    store = run(train=train, test=train, shard_rows=4, thumbnails=True).store
    assert store.examples("test")["thumbnail"].null_count() == 0


@pytest.mark.thorough
def test_images_in_other_company_enter_the_tower_once(run, inputs, towers):
    names = [inputs.image(f"{n}.png", n) for n in range(4)]
    found = [
        {"images": [names[one], names[other]], "question": question, "label": "ab"[one % 2]}
        for one in range(4)
        for other in range(4)
        for question in ("Same?", "Is <image> like <image>?")
    ]
    given = {"train": inputs.rows("train.jsonl", found[::3]), "dtype": "float32", "batch_size": 4}
    given |= {"test": inputs.rows("test.jsonl", found)}
    plain = run("plain", **given, reuse="off").store
    reporting, _ = after_the_proof(towers)
    same(plain, run("shared", **given, reporting=reporting).store)
    assert sum(towers) == 4


@pytest.mark.thorough
def test_images_that_were_dropped_are_computed_again(run, rows, towers, monkeypatch):
    given = {"train": rows("train", range(2)), "test": rows("test", range(4), 50)}
    given |= {"dtype": "float32", "batch_size": 3}
    plain = run("plain", **given, reuse="off").store
    keep = ImageFeatures._keep

    def keep_none(self, key, features):
        self.most_bytes = 0
        keep(self, key, features)

    monkeypatch.setattr(ImageFeatures, "_keep", keep_none)
    reporting, _ = after_the_proof(towers)
    same(plain, run("shared", **given, reporting=reporting).store)
    assert 6 < sum(towers) < 24


@pytest.mark.thorough
@pytest.mark.parametrize("family", ["gemma3", "llava_next", "idefics3", "qwen3_5"])
def test_photos_of_several_sizes_share(run, rows, tiny_model, family):
    given = {"train": rows("train", range(2)), "test": rows("test", range(4), 50)}
    given |= {"dtype": "float32", "model": str(tiny_model(family))}
    plain = run("plain", **given, reuse="off").store
    reporting, said = after_the_proof()
    same(plain, run("shared", **given, reporting=reporting).store, 1e-3, 1e-4)
    assert "each image, and what prompts about it begin with, is computed once" in said
    assert not any("from some batch on" in line for line in said)


def test_shards_that_are_made_again_take_nothing_from_themselves(run, inputs, rows, passes):
    train = rows("train", range(2))
    test = inputs.rows(
        "test.jsonl",
        [
            {"image": name, "question": "What?", "label": "a"}
            for name in ("late.png", inputs.image("there.png", 3), inputs.image("again.png", 4))
        ],
    )
    given = {"train": train, "test": test, "dtype": "float32"}
    first = run(**given)
    assert first.store.skipped("test")["id"].to_list() == ["test:0"]
    before = first.store.features("test")
    inputs.image("late.png", 5)
    reporting, _ = after_the_proof(passes)
    store = run(**given, retry_skipped=True, reporting=reporting).store
    assert sum(passes) == 3
    np.testing.assert_allclose(store.features("test")[:, 1:], before, 1e-4, 1e-5)


def test_what_fails_while_images_are_shared_runs_the_plain_way_and_is_told(run, rows, monkeypatch):
    given = {"train": rows("train", range(2)), "test": rows("test", range(3), 50)}
    given |= {"dtype": "float32"}
    plain = run("plain", **given, reuse="off").store
    launch = SharedForward.launch
    proving, failed = [True], []

    def failing(self, batch, answers=NO_ANSWERS):
        if proving:
            return launch(self, batch, answers)
        failed.append(batch.requests)
        raise ValueError("tokens and features do not match")

    monkeypatch.setattr(SharedForward, "launch", failing)
    reporting, said = after_the_proof(proving)
    same(plain, run("shared", **given, batch_size=4, reporting=reporting).store)
    assert len(failed) == 1
    assert said[-1] == (
        "images were computed for each prompt from some batch on: ValueError: tokens and features"
        " do not match"
    )


def test_shared_batches_that_do_not_fit_run_in_pieces(run, rows, monkeypatch):
    given = {"train": rows("train", range(2)), "test": rows("test", range(3), 50)}
    given |= {"dtype": "float32"}
    plain = run("plain", **given, reuse="off").store
    run_pass = LoadedModel.run
    proving = [True]

    def short_of_memory(self, arguments, answers, ends=None):
        if not proving and ends is not None and len(ends) > 3:
            raise torch.OutOfMemoryError("no room")
        return run_pass(self, arguments, answers, ends)

    monkeypatch.setattr(LoadedModel, "run", short_of_memory)
    reporting, said = after_the_proof(proving)
    same(plain, run("shared", **given, reporting=reporting).store)
    assert any(re.match(r"\d+ batches did not fit the memory", line) for line in said)


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
    assert list(features._kept) == [("0", 0), ("2", 0)]
    assert features._bytes == 2 * first.nbytes
    features.forget()
    assert (features._bytes, len(features._kept)) == (0, 0)
