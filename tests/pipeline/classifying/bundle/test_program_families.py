"""predict.py puts prompts to each family of models as `savs classify` does."""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from savs import classify, extract, save_selection, select, write_bundle

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation:DeprecationWarning"  # PaliGemma's processor
    ),
]

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pixel limits": ("qwen2_vl", "Which?", {"min_pixels": 3136, "max_pixels": 4704}),
    "deepstack": ("qwen3_vl", "Which?", {}),
    "linear attention": ("qwen3_5", "Which?", {}),
    "control token": ("qwen2_5_vl", "Is <|im_end|> in it?", {}),
    "mark in front": ("internvl", "<image>Which?", {}),
    "images first": ("llava_next", "Which?", {}),
    "line break after the mark": ("llava_onevision", "<image>\nWhich?", {}),
    "space at the start": ("blip-2", " Which?", {}),
    "tiles": ("idefics3", "Which?", {}),
    "sliding window": ("gemma3", "Which?", {}),
    "widths differ": ("gemma4", "Which?", {}),
    "sorted pieces": ("mistral3", "Which?", {}),
    "built-in form": ("blip-2", "Which?", {}),
    "read by the Q-Former, too": ("instructblip", "Which?", {}),
    "image in the form": ("paligemma", "Which?", {}),
    "control token in the form": ("kosmos-2", "Which?", {}),
    "line break at the end": ("fuyu", "Which?", {}),
    "own mark of an image": ("qwen2_vl", "Which?", {"prompt_template": 'Say: "{prompt}"\nA:'}),
    "image at its place": ("llava", "Which <s>?", {"prompt_template": "{image} Q: {prompt} {%"}),
}


@pytest.mark.parametrize(("family", "question", "limits"), CASES.values(), ids=CASES)
def test_scores_are_those_of_classify(
    inputs, tiny_model, tmp_path, monkeypatch, family, question, limits
) -> None:
    names = [inputs.image(f"{n}.png", n, (60 + 8 * (n % 2), 80)) for n in range(4)]
    rows = [
        {"image": name, "question": question, "label": "ab"[n % 2]} for n, name in enumerate(names)
    ]
    file, model = inputs.rows("rows.jsonl", rows), tiny_model(family)
    given = {"train": file, "test": file, "model": model, "dtype": "float32"}
    store = extract("general", out=tmp_path / "store", **given, **limits).store
    saved = save_selection(select(store, heads=4, readout="posterior"), tmp_path / "saved")
    bundle = write_bundle(store, saved, tmp_path / "bundle")
    assert bundle.note is None
    images = [str(inputs.root / name) for name in names]
    found = printed(bundle.path / "predict.py", [*images, "--model", str(model)], monkeypatch)
    expected = classify(saved, images, model=model).predictions
    assert [row["prediction"] for row in found] == expected["prediction"].to_list()
    for row, votes in zip(found, expected["votes"], strict=True):
        scores = {vote["class"]: vote["score"] for vote in votes}
        assert row["votes"] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "gemma3", "paligemma", "kosmos-2"])
def test_answers_are_those_of_classify(inputs, tiny_model, tmp_path, monkeypatch, family) -> None:
    names = [inputs.image(f"{n}.png", n, (60, 80)) for n in range(8)]
    rows = [{"image": name, "label": "ab"[n % 2]} for n, name in enumerate(names)]
    file, model = inputs.rows("rows.jsonl", rows), tiny_model(family)
    given = {"train": file, "model": model, "dtype": "float32", "question": "Which?"}
    store = extract("general", out=tmp_path / "store", answers="labels", **given).store
    images = [str(inputs.root / name) for name in names[:3]]
    for readout in ("answers", "answers-fitted", "answers-lda"):
        saved = save_selection(select(store, readout=readout), tmp_path / readout)
        bundle = write_bundle(store, saved, tmp_path / f"{readout}-bundle")
        assert bundle.note is None
        found = printed(bundle.path / "predict.py", [*images, "--model", str(model)], monkeypatch)
        expected = classify(saved, images, model=model).predictions
        assert [row["prediction"] for row in found] == expected["prediction"].to_list()
        for row, votes in zip(found, expected["votes"], strict=True):
            scores = {vote["class"]: vote["score"] for vote in votes}
            assert row["votes"] == pytest.approx(scores, abs=1e-4)


def printed(program: Path, arguments: list[str], monkeypatch) -> list[dict[str, Any]]:
    """Return what a program prints that runs in this process."""
    monkeypatch.setattr(sys, "argv", [str(program), *arguments])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        runpy.run_path(str(program), run_name="__main__")
    return [json.loads(line) for line in said.getvalue().splitlines()]
