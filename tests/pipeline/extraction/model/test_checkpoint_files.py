"""The files that are digested are those that transformers loads, and stay so while it loads."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_text import build_text
from transformers import AutoConfig, modeling_utils

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model import checkpoint_files, load
from savs.pipeline.extraction.model.checkpoint_files import (
    adapter_digest,
    local_weight_paths,
    prompt_files,
    unread_bytes,
    weight_files,
    weight_paths,
)
from savs.pipeline.extraction.model.model_options import ModelOptions

pytestmark = pytest.mark.thorough

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
VARIANT_INDEX = "model.safetensors.index.fp16.json"
BIN = "pytorch_model.bin"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return build_text(tmp_path / "words")


def add_shards(folder: Path) -> None:
    for name in SHARDS:
        shutil.copy(folder / SINGLE, folder / name)
    shards = dict.fromkeys(load_file(folder / SINGLE), SHARDS[0])
    shards[next(iter(shards))] = SHARDS[1]
    (folder / INDEX).write_text(json.dumps({"weight_map": shards, "metadata": {}}))


def add_variant(folder: Path) -> None:
    shutil.copy(folder / SINGLE, folder / "model.fp16.safetensors")


def add_variant_shards(folder: Path) -> None:
    add_shards(folder)
    (folder / INDEX).rename(folder / VARIANT_INDEX)


def add_bin(folder: Path) -> None:
    torch.save(load_file(folder / SINGLE), folder / BIN)


def add_stated(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "mine.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["transformers_weights"] = "mine.safetensors"
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("is_single_there", [True, False])
@pytest.mark.parametrize(
    ("add", "given", "among"),
    [
        (add_shards, {}, {SINGLE, INDEX, *SHARDS}),
        (add_variant, {"variant": "fp16"}, {"model.fp16.safetensors"}),
        (add_variant_shards, {"variant": "fp16"}, {VARIANT_INDEX, *SHARDS}),
        (add_stated, {}, {"mine.safetensors"}),
    ],
    ids=["shards", "variant", "shards of a variant", "stated"],
)
def test_they_are_those_that_transformers_loads(
    checkpoint, monkeypatch, add, given, among, is_single_there
) -> None:
    add(checkpoint)
    if not is_single_there:
        (checkpoint / SINGLE).unlink(missing_ok=True)
    options = ModelOptions(model=checkpoint, model_kwargs=given)
    ours = weight_paths(options, AutoConfig.from_pretrained(checkpoint), None)
    find, loaded = modeling_utils._get_resolved_checkpoint_files, []

    def find_and_keep(*args, **keywords):
        files, index = find(*args, **keywords)
        loaded.extend(files)
        return files, index

    monkeypatch.setattr(modeling_utils, "_get_resolved_checkpoint_files", find_and_keep)
    load_model(str(checkpoint), model_kwargs=given)
    assert {Path(file).name for file in loaded} == ours.keys() - {INDEX, VARIANT_INDEX}
    assert ours.keys() <= among
    assert local_weight_paths(options, AutoConfig.from_pretrained(checkpoint), None) == ours


@pytest.mark.parametrize("given", [{}, {"use_safetensors": False}], ids=["", "asked for"])
@pytest.mark.parametrize("form", ["bin", "bin by an index", "stated"])
def test_pickled_weights_alone_are_refused_in_one_line(checkpoint, monkeypatch, form, given):
    add_bin(checkpoint)
    (checkpoint / SINGLE).unlink()
    if form == "bin by an index":
        (checkpoint / INDEX).write_text(json.dumps({"weight_map": {"a": BIN}, "metadata": {}}))
    if form == "stated":
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(config | {"transformers_weights": BIN}))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ModelError, match=r"may run code and are not loaded.*save_pretrained") as e:
        load_model(str(checkpoint), model_kwargs=given)
    assert "\n" not in str(e.value)


def test_a_pickle_next_to_safetensors_is_not_read(checkpoint, monkeypatch) -> None:
    add_bin(checkpoint)
    monkeypatch.setattr(torch, "load", None)
    load_model(str(checkpoint), model_kwargs={"use_safetensors": False})


def test_an_adapter_of_a_pickle_alone_is_refused(checkpoint, monkeypatch, tmp_path) -> None:
    pytest.importorskip("peft")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    torch.save({}, adapter / "adapter_model.bin")
    monkeypatch.setattr(torch, "load", None)
    said = r"adapter .* there is a file adapter_config\.json, and none adapter_model\.safetensors"
    with pytest.raises(ModelError, match=said):
        load_model(str(checkpoint), adapter=str(adapter))
    shutil.copytree(adapter, checkpoint, dirs_exist_ok=True)  # put on without being asked
    with pytest.raises(ModelError, match=r"none adapter_model\.safetensors"):
        load_model(str(checkpoint))


def test_a_folder_without_an_adapter_has_no_digest(tmp_path) -> None:
    with pytest.raises(OSError, match=r"no file adapter_config\.json or adapter_model\.saf"):
        adapter_digest(str(tmp_path))


def test_a_file_that_changes_while_it_is_loaded_is_an_error(checkpoint, monkeypatch) -> None:
    require = load.weight_files

    def digest_then_change(paths):
        files = require(paths)
        os.utime(checkpoint / SINGLE)
        return files

    monkeypatch.setattr(load, "weight_files", digest_then_change)
    with pytest.raises(ModelError, match=r"model\.safetensors of .* changed while the model was l"):
        load_model(str(checkpoint))


def test_the_hubs_digest_is_taken_for_a_blob_of_its_cache_alone(tmp_path, monkeypatch) -> None:
    sha256, sha1_of_git = "ab" * 32, "ab" * 20
    blobs = {"hub/large": sha256, "hub/in git": sha1_of_git, "stranger": sha256}
    paths = {}
    for name, blob_name in blobs.items():
        blob = tmp_path / name / "blobs" / blob_name
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"weights")
        paths[name] = tmp_path / name / SINGLE
        paths[name].symlink_to(blob)
    paths["hub, no link"] = tmp_path / "hub/large/blobs" / sha256
    monkeypatch.setattr(checkpoint_files.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    digests = {name: file.sha256 for name, file in weight_files(paths).files.items()}
    read = hashlib.sha256(b"weights").hexdigest()
    assert digests == dict.fromkeys(paths, read) | {"hub/large": sha256}
    assert unread_bytes({name: paths[name] for name in ("hub/large", "stranger")}) == 7


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (INDEX, "[]"),
        (INDEX, '{"weight_map": {"a": "missing.safetensors"}}'),
        (INDEX, '{"weight_map": 5}'),
    ],
)
def test_a_damaged_list_of_files_is_one_line(checkpoint, name, content) -> None:
    (checkpoint / SINGLE).unlink()
    (checkpoint / name).write_text(content)
    with pytest.raises(ModelError, match="cannot be loaded: "):
        load_model(str(checkpoint))


def test_files_of_the_prompt_are_compared_by_their_content(checkpoint) -> None:
    options = ModelOptions(model=checkpoint)
    processor = load.load_encoder(options).processor
    before = prompt_files(options, processor, None)
    assert before.keys() == {"tokenizer.json", "tokenizer_config.json"}
    file = checkpoint / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"chat_template": "{{ other }}"}, indent=8))
    assert prompt_files(options, processor, None) == before
    file.write_text(json.dumps(settings | {"fast_tokenizer_files": ["tokenizer.4.0.json"]}))
    shutil.copy(checkpoint / "tokenizer.json", checkpoint / "tokenizer.4.0.json")
    after = prompt_files(options, processor, None)
    assert after["tokenizer_config.json"] != before["tokenizer_config.json"]
    assert after["tokenizer.4.0.json"] == before["tokenizer.json"]
