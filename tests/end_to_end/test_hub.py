"""Checkpoints, adapters and data sets by their ids, from a stand-in that speaks the hub's API."""

import io
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hub import TOKEN, Hub, Place, Repository, hub_here, serving_hub
from PIL import Image
from tiny_text import build_lora
from transformers import Qwen2VLForConditionalGeneration

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # of peft
]


def png(seed: int) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 255, (56, 56, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return {"bytes": data.getvalue(), "path": f"{seed}.png"}


@pytest.fixture(scope="module")
def hub(tiny_model, tmp_path_factory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    model = shutil.copytree(tiny_model("qwen2_vl"), folder / "model")
    for part in ("val", "other"):
        (folder / "data" / part).mkdir(parents=True)
        images = [png(n) for n in range(12)]
        rows = {"image": images, "question": ["Which?"] * 12, "label": ["a", "b"] * 6}
        pl.DataFrame(rows).write_parquet(folder / "data" / part / "0.parquet")
    with serving_hub() as found:
        found.repositories = {
            "models/org/tiny": Repository(model),
            "models/org/closed": Repository(model, gated=True),
            "datasets/org/data": Repository(folder / "data", gated=True),
        }
        yield found


@pytest.fixture
def place(hub: Hub, tmp_path: Path) -> Place:
    hub.asked.clear()
    hub.ranges.clear()
    return Place(hub, tmp_path)


def extraction(place: Place, model: str = "org/closed", *more: str) -> tuple[str, ...]:
    return (
        *("extract", "general", "--test", "hf://org/data/val/*.parquet", "--shots", "2"),
        *("--model", model, "--out", str(place.work / "store"), *more),
    )


@pytest.mark.costly
def test_a_run_by_ids_records_the_commit_and_goes_on_offline(place: Place, tmp_path: Path) -> None:
    closed = place.hub.repositories["models/org/closed"].folder
    build_lora(closed, tmp_path / "lora", kind=Qwen2VLForConditionalGeneration)
    place.hub.repositories["models/org/tuned"] = Repository(tmp_path / "lora")
    place.hub.cut["model.safetensors"] = 5_000
    right = {"HF_TOKEN": TOKEN}
    given = extraction(place, "org/closed", "--adapter", "org/tuned", "--limit", "4")
    ((code, said),) = place.run((given, right))
    assert code == 0, said
    model = json.loads((place.work / "store/store.json").read_text())["identity"]["model"]
    assert model["name"] == "org/closed"
    assert model["revision"] == place.hub.repositories["models/org/closed"].commit
    assert model["adapter"] == "org/tuned"
    assert place.hub.ranges == ["model.safetensors from 5000"]
    fetched = [line for line in place.hub.asked if line.startswith("GET /store/datasets")]
    assert fetched == ["GET /store/datasets/org/data/val/0.parquet"]

    place.hub.asked.clear()
    more = extraction(place, "org/closed", "--adapter", "org/tuned")
    ((code, said),) = place.run((more, {}), HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert place.hub.asked == []
    assert "4 examples to do" in said


def test_each_failure_of_the_hub_is_one_line(savs, place: Place, monkeypatch) -> None:
    folder = place.work / "rows"
    folder.mkdir()
    shutil.copy(place.hub.repositories["datasets/org/data"].folder / "val/0.parquet", folder)
    local = (
        *("extract", "general", "--test", str(folder), "--shots", "2"),
        *("--model", "org/closed", "--out", str(place.work / "store")),
    )
    right, wrong = {"HF_TOKEN": TOKEN}, {"HF_TOKEN": "hf_wrong"}
    revised = extraction(place, "org/tiny@abc")
    adapted = extraction(place, "org/tiny", "--adapter", "org/nothing")
    cases = {
        (extraction(place), ""): "hf://org/data/val/*.parquet cannot be fetched (GatedRepoError",
        (extraction(place), "wrong"): "the hub refuses the token in HF_TOKEN",
        (extraction(place, "org/nowhere"), "right"): "cannot be loaded: org/nowhere is not a local",
        (revised, "right"): "model 'org/tiny' cannot be loaded: abc is not a valid git identifier",
        (adapted, "right"): "adapter 'org/nothing' cannot be loaded",
        (local, ""): "ask for access on its page, then set HF_TOKEN",
        (local, "wrong"): "the hub refuses the token; set HF_TOKEN to a valid one",
    }
    env = {"": {}, "wrong": wrong, "right": right}
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for (args, token), reason in cases.items():
        with hub_here(place.hub, HF_HUB_CACHE=str(place.work / "cache")):
            done = savs(*args, env=env[token])
        *before, last = done.stderr.splitlines()
        assert done.returncode == 1
        assert last.startswith("error: ")
        assert reason in last
        assert before in ([], ["loading org/tiny on the CPU"]), done.stderr


@pytest.mark.costly
def test_without_a_network_one_connection_is_tried(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    rows = place.work / "rows.jsonl"
    rows.write_text("".join(f'{{"question": "{n}?", "label": "{n % 2}"}}\n' for n in range(4)))
    local = (
        *("extract", "general", "--test", str(rows), "--shots", "1"),
        *("--model", "org/nowhere", "--out", str(place.work / "store")),
    )
    found = place.run((extraction(place), {}), (local, {}), HF_ENDPOINT=address)
    assert [code for code, _ in found] == [1, 1]
    down = f"{address} cannot be reached (Connection refused)"
    assert f"cannot be fetched ({down})" in found[0][1]
    assert f"cannot be loaded: it was not fetched before, and {down}; give --model" in found[1][1]
    assert place.hub.asked == []
