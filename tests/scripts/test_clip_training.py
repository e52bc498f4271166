"""The training of the shipped dual encoder: it repeats itself, and names nothing that is novel."""

import json
import random

import pytest
import torch
from demo_clip.captions import about, names, truths
from safetensors.torch import load_file
from train_demo_clip import main

from savs.datasets.benchmarks.shapes.scenes import NOVEL_KINDS, random_scene
from savs.datasets.benchmarks.shapes.tasks import spell
from savs.pipeline.demo import DEMO_CLIP
from savs.pipeline.extraction.entry_points import load_model


def test_captions_are_told_true_and_false_and_none_names_a_novel_kind() -> None:
    rng = random.Random(0)
    novel = [spell(kind) for kind in NOVEL_KINDS]
    for _ in range(40):
        scene = random_scene(rng, part="curriculum")
        captions = [*names(rng), *about(rng, scene)]
        (row,) = truths(captions, [scene])
        for caption, truth in zip(captions, row, strict=True):
            assert not any(name in caption.text for name in novel)
            for color, shape in scene.kinds:
                if caption.text in (f"a {color} {shape}", f"a photo of a {shape}", f"one {color}"):
                    assert truth == 1
        assert {0.0, 1.0} <= set(row)


def test_the_shipped_model_is_small_and_whole() -> None:
    weights = DEMO_CLIP / "model.safetensors"
    assert weights.stat().st_size <= 2_000_000
    model = load_model("demo-clip")
    assert (model.dtype, model.grid[0].head_dim) == ("float32", 64)
    log = [json.loads(x) for x in (DEMO_CLIP / "training.jsonl").read_text().splitlines()]
    assert log[0]["parameters"] == model.model.num_parameters()


@pytest.mark.slow
def test_the_script_trains_saves_and_reproduces(tmp_path, monkeypatch) -> None:
    for name in ("first", "second"):
        words = ["train", "--out", str(tmp_path / name), "--steps", "3", "--seed", "5"]
        monkeypatch.setattr("sys.argv", [*words, "--threads", "1"])
        main()
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_model(str(tmp_path / "first")).encoder.is_dual
