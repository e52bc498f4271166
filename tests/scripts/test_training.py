"""The demo model's training computes what the stock model computes, and gives the same twice."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from demo_model.architecture import build_model, build_processor
from demo_model.curriculum import FAMILIES, PART, PHASES, USUAL, ask_about, phase_at
from demo_model.forward import see, use_batched_attention
from demo_model.language_stage import _fill, answer
from demo_model.packing import Packer, Question
from demo_model.tokens import build_tokenizer
from safetensors.torch import load_file

from savs.datasets.benchmarks.shapes.scenes import CANVASES, NOVEL_KINDS, draw
from savs.datasets.benchmarks.shapes.tasks import spell
from savs.pipeline.extraction.entry_points import load_model

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def parts():
    tokenizer = build_tokenizer(0)
    return tokenizer, build_model(tokenizer, 0).float().eval(), build_processor(tokenizer)


@pytest.mark.costly
@pytest.mark.parametrize("canvas", CANVASES, ids=str)
@pytest.mark.parametrize("images", FAMILIES)
def test_packed_questions_get_the_logits_of_the_stock_model(parts, images, canvas):
    tokenizer, model, processor = parts
    fast = copy.deepcopy(model)
    use_batched_attention(fast)
    rng = random.Random(images)
    grid = (canvas[1] // 14, canvas[0] // 14)
    packer = Packer(tokenizer, images, grid)
    scenes = [FAMILIES[images].scenes(rng, canvas, USUAL) for _ in range(3)]
    rows = []
    for row in scenes:
        asked = [(n, i) for n in FAMILIES[images].asks for i in ask_about(rng, row, images, n)]
        questions = [Question(name, item.question, item.label) for name, item in asked]
        rows.append(_fill(questions, 5, packer))
    pictures = [[draw(scene) for scene in row] for row in scenes]
    pixels = torch.from_numpy(np.stack([np.asarray(p) for row in pictures for p in row]))
    packed = packer.pack(rows)
    with torch.inference_mode():
        hidden, _ = answer(fast, pixels, packed, grid)
        logits = fast.lm_head(hidden[packed.rows, packed.places])
    flat = [(row, q) for row, filled in enumerate(rows) for block in filled for q in block]
    assert len(flat) == len(packed.first) >= 2
    for (row, question), (number, name) in zip(flat, packed.first, strict=True):
        assert question.name == name
        content = [{"type": "image", "image": picture} for picture in pictures[row]]
        content.append({"type": "text", "text": question.text})
        inputs = processor.apply_chat_template(
            [[{"role": "user", "content": content}]],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            stock = model(**inputs).logits[0, -1]
        torch.testing.assert_close(logits[number], stock, rtol=1e-4, atol=2e-5)


@pytest.mark.costly
def test_the_batched_vision_tower_is_the_stock_one(parts):
    _, model, processor = parts
    rng = random.Random(0)
    for canvas in CANVASES:
        pictures = [draw(FAMILIES[1].scenes(rng, canvas, USUAL)[0]) for _ in range(3)]
        inputs = processor.image_processor(images=pictures, return_tensors="pt")
        with torch.inference_mode():
            stock = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
            pixels = torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))
            _, ours = see(model, pixels, (canvas[1] // 14, canvas[0] // 14))
        merged = stock.pooler_output if hasattr(stock, "pooler_output") else stock
        torch.testing.assert_close(ours.flatten(0, 1), merged, rtol=1e-4, atol=2e-5)


def test_novel_pairs_are_neither_shown_nor_named():
    rng = random.Random(1)
    for images, family in FAMILIES.items():
        for _ in range(150):
            scenes = family.scenes(rng, CANVASES[0], USUAL)
            assert not any(scene.kinds & set(NOVEL_KINDS) for scene in scenes)
            for name in family.asks:
                for item in ask_about(rng, scenes, images, name):
                    for kind in NOVEL_KINDS:
                        assert spell(kind) not in f"{item.question} {item.label}"


def test_the_model_learns_from_scenes_that_no_benchmark_uses():
    rng = random.Random(2)
    for family in FAMILIES.values():
        for _ in range(60):
            assert {scene.part for scene in family.scenes(rng, CANVASES[0], USUAL)} == {PART}


def test_every_question_fits_its_block_and_a_longer_one_is_an_error(parts):
    tokenizer, _, _ = parts
    packer = Packer(tokenizer, 1, (8, 8))
    rng = random.Random(3)
    asked = set()
    for images, family in FAMILIES.items():
        for _ in range(300):
            scenes = family.scenes(rng, CANVASES[0], PHASES[0].things)
            for name in family.asks:
                for item in ask_about(rng, scenes, images, name):
                    filled = _fill([Question(name, item.question, item.label)], 1, packer)
                    asked |= {question.name for question in filled[0]}
    assert asked == {name for family in FAMILIES.values() for name in family.asks}
    with pytest.raises(ValueError, match="listing takes 52 tokens, a block has 40"):
        _fill([Question("listing", "List the objects. " * 9, "red circle")], 1, packer)


def test_phases_cover_the_whole_training_and_ask_what_there_is():
    assert phase_at(0.0) is PHASES[0]
    assert phase_at(0.999) is phase_at(1.0) is PHASES[-1]
    for phase in PHASES:
        assert sum(phase.images.values()) == pytest.approx(1)
        for images, weights in phase.weights.items():
            assert set(weights) <= set(FAMILIES[images].asks)


@pytest.mark.slow
def test_the_script_trains_saves_and_reproduces(tmp_path):
    for name in ("first", "second"):
        subprocess.run(
            [
                *(sys.executable, ROOT / "scripts/train_demo_model.py", "--out", tmp_path / name),
                *("--vision-steps", "2", "--language-steps", "3", "--seed", "5"),
            ],
            check=True,
            capture_output=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"},
        )
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    size = (tmp_path / "first/model.safetensors").stat().st_size
    assert size <= 5_000_000
    model = load_model(str(tmp_path / "first"))
    assert (model.dtype, len(model.hook_points)) == ("float32", 6)
    log = [
        json.loads(line) for line in (tmp_path / "first/training.jsonl").read_text().splitlines()
    ]
    assert [entry["stage"] for entry in log] == ["start", "vision", "language"]
