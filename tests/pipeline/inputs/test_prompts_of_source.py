"""Draws and limits count images; each of them is there under all prompts."""

from pathlib import Path

import pytest

from savs.datasets import Shots
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.plugins import choose_benchmark
from savs.pipeline.inputs.source import Source

ASKED = ("Cat?", "Dog?", "Which?")


@pytest.fixture
def pool(inputs) -> Path:
    rows = [
        {"image": inputs.image(f"{i}.png", i), "label": "ab"[i % 2], "id": f"e{i}"}
        for i in range(10)
    ]
    return inputs.rows("all.jsonl", rows)


def read(**options):
    inputs = InputOptions(**options, question=ASKED)
    benchmark = choose_benchmark("general", question=inputs.question)
    source = Source(benchmark, inputs)
    return source, source.examples()


def test_an_image_is_in_one_split_with_all_its_prompts(pool):
    _, found = read(test=pool, shots=Shots(2))
    sides = {split: [(e.media[0], e.prompt) for e in examples] for split, examples in found.items()}
    train, test = ({name for name, _ in sides[split]} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (4, 6, set())
    for split, names in (("train", train), ("test", test)):
        assert sorted(sides[split]) == sorted((n, p) for n in names for p in ASKED)


def test_a_limit_counts_images(pool):
    _, found = read(train=pool, limit=4)
    assert [e.id for e in found["train"]][-3:] == ["e3#1", "e3#2", "e3#3"]


def test_a_doubt_is_told_once(pool, inputs):
    row = {"image": inputs.image("0.png"), "label": "a", "id": "again"}
    more = inputs.rows("more.jsonl", [row])
    pool.write_text(pool.read_text() + more.read_text())
    source, found = read(train=pool)
    (line,) = source.notes(found)
    assert line == "1 example repeats an earlier one with the same label: again as e0"
