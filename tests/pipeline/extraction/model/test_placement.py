import json
from types import SimpleNamespace

import pytest
import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.placement import (
    FreeBytes,
    choose_gpus,
    find_placement,
    weight_bytes,
)
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import ALONE, Rank

GB = 10**9
CHOICES = {
    "a 7B on a node of eight": (16 * GB, [80 * GB] * 8, ALONE, (0,)),
    "the GPU that is free": (16 * GB, [5 * GB, 80 * GB, 80 * GB], ALONE, (1,)),
    "exactly: 20 x 1.15 and 2 of room": (20 * GB, [25 * GB], ALONE, (0,)),
    "a byte less": (20 * GB, [25 * GB - 1, 24 * GB], ALONE, (0, 1)),
    "too large for all": (200 * GB, [80 * GB, 80 * GB], ALONE, ()),
    "the fourth of eight ranks": (16 * GB, [80 * GB] * 8, Rank(3, 8, 3, 8, "torchrun"), (3,)),
    "--gpus-per-task: one is visible": (16 * GB, [80 * GB], Rank(3, 8, 3, 8, "SLURM"), (0,)),
    "two GPUs each": (140 * GB, [90 * GB] * 8, Rank(1, 4, 1, 4, "torchrun"), (2, 3)),
    "more ranks than GPUs": (16 * GB, [80 * GB] * 2, Rank(5, 8, 5, 8, "torchrun"), (1,)),
}


@pytest.mark.parametrize(("weights", "free", "rank", "gpus"), CHOICES.values(), ids=CHOICES.keys())
def test_which_gpus_a_model_takes(weights, free, rank, gpus) -> None:
    assert choose_gpus(weights, free, rank) == gpus


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that makes a folder of which the index tells the size of all weights."""

    def make(total: object, dtype: str = "auto", **options) -> tuple[ModelOptions, object]:
        index = {"metadata": {"total_size": total}, "weight_map": {}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        encoder = SimpleNamespace(config=SimpleNamespace(dtype=torch.bfloat16), revision=None)
        return ModelOptions(model=tmp_path, dtype=dtype, **options), encoder

    return make


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", 14), ("bfloat16", 14), ("float16", 14), ("float32", 28)]
)
def test_the_size_of_weights_is_that_of_the_type_that_they_are_loaded_in(
    checkpoint, dtype, expected
) -> None:
    assert weight_bytes(*checkpoint(14 * GB, dtype)) == expected * GB


def test_a_checkpoint_of_one_file_has_its_size(tmp_path, checkpoint) -> None:
    options, encoder = checkpoint(1)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert weight_bytes(options, encoder) is None
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1234)
    assert weight_bytes(options, encoder) == 1234


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layers_that_are_not_loaded_need_no_room(tiny_model, dtype) -> None:
    folder = tiny_model("qwen2_vl")
    options = ModelOptions(model=str(folder), dtype=dtype)
    encoder = load_encoder(options)
    run = ModelRun(options, RunOptions())
    first, whole = (run.load(last).model for last in (0, None))
    bytes_of = [sum(p.nbytes for p in model.parameters()) for model in (first, whole)]
    header = weight_bytes(options, encoder) - bytes_of[1]
    assert 0 <= header < 0.2 * bytes_of[1]
    found = weight_bytes(options, encoder, 0)
    assert found == pytest.approx(weight_bytes(options, encoder) * bytes_of[0] / bytes_of[1], abs=1)
    free = [int(bytes_of[0] * 1.15 + 2 * GB) + header] * 2
    given = (options, encoder, ALONE, free)
    assert find_placement(*given, last_layer=0).device_map == "cuda:0"
    assert find_placement(*given).max_memory.keys() == {0, 1}


RANK = Rank(3, 8, 3, 8, "torchrun")
ASKED = {
    "a rank asks its own": ({}, RANK, 16, [3], "cuda:3"),
    "a rank that takes two": ({}, Rank(1, 4, 1, 4, "torchrun"), 140, [1, 2, 3], "auto"),
    "the one that was named": ({"device": "cuda:5"}, ALONE, 16, [5], "cuda:5"),
    "no GPU": ({"device": "cpu"}, RANK, 16, [], "cpu"),
    "alone: the one with most room": ({}, ALONE, 16, list(range(8)), "cuda:0"),
}


@pytest.mark.parametrize(
    ("options", "rank", "size", "asked", "device_map"), ASKED.values(), ids=ASKED.keys()
)
def test_no_context_is_opened_on_gpus_of_other_ranks(
    checkpoint, monkeypatch, options, rank, size, asked, device_map
) -> None:
    """The question for free memory opens a context."""
    opened = []
    free = 90 * GB
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: opened.append(gpu) or (free, free))
    found = find_placement(*checkpoint(size * GB, **options), rank)
    assert (sorted(opened), found.device_map) == (asked, device_map)
    assert len(FreeBytes()) == 8


AUTO, ALL = {"device_map": "auto"}, "all of cuda:0, cuda:1"
FEW = AUTO | {"max_memory": dict.fromkeys(range(3), 78 * GB)}
FEW_TEXT = "cuda:0, cuda:1, cuda:2: one of them is too small for 140 GB"
LARGE_TEXT = "cuda:0, cuda:1 and the CPU: 200 GB of weights do not fit the GPUs"
OWN_MAP = {"model_kwargs": {"max_memory": {0: "9GB"}}}
PLACES = {
    "one": ({}, 16, [80, 80], {"device_map": "cuda:0"}, "cuda:0, where 16 GB of weights fit"),
    "few": ({}, 140, [80] * 8, FEW, FEW_TEXT),
    "too large": ({}, 200, [80, 80], AUTO, LARGE_TEXT),
    "none": ({}, 16, [], {"device_map": "cpu"}, "the CPU"),
    "balanced": ({"device": "balanced"}, 16, [80, 80], AUTO, ALL),
    "named": ({"device": "cuda:1"}, 16, [80, 80], {"device_map": "cuda:1"}, "cuda:1"),
    "the user's own map": (OWN_MAP, 16, [80, 80], AUTO, ALL),
    "an index that does not say": ({}, "much", [80, 80], AUTO, ALL),
}


@pytest.mark.parametrize(
    ("options", "size", "free", "keywords", "text"), PLACES.values(), ids=PLACES.keys()
)
def test_where_a_model_goes(checkpoint, options, size, free, keywords, text) -> None:
    total = size * GB if isinstance(size, int) else size
    found = find_placement(*checkpoint(total, **options), free=[n * GB for n in free])
    assert (found.keywords, found.text) == (keywords, text)


@pytest.mark.parametrize(
    ("free", "there"),
    [([80, 80], "cuda:0, cuda:1 are visible"), ([], "no GPU is visible")],
    ids=["two", "none"],
)
def test_a_gpu_that_is_not_there_is_refused(checkpoint, free, there) -> None:
    with pytest.raises(ModelError, match=f"^`device` cuda:2 is not there: {there}; see"):
        find_placement(*checkpoint(1, device="cuda:2"), free=free)


def test_a_gpu_that_is_too_small_for_the_weights_is_refused(checkpoint) -> None:
    message = "^16 GB of weights do not fit cuda:1, of which 8 GB are free; leave out `device` or"
    with pytest.raises(ModelError, match=message):
        find_placement(*checkpoint(16 * GB, device="cuda:1"), free=[80 * GB, 8 * GB])
