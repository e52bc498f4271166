"""A bundle that was edited by someone who makes each digest right: one line, or what it says."""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from input_folder import Inputs
from json_edits import edited, variants
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from savs.pipeline.selection.selection_config import SelectionConfig, parse_config
from savs.stores.format.layout import digest

pytestmark = pytest.mark.costly

EDITS = settings.default.max_examples // 6
"""`just fuzz` tries ten times as many."""
SEED = 4


@pytest.fixture
def bundle(savs, inputs: Inputs, tmp_path) -> Path:
    for number in range(4):
        inputs.image(f"photos/{'ab'[number % 2]}/{number}.png", number)
    photos, run = inputs.root / "photos", ("--model", "demo", "--engine", "local,workers=0")
    assert savs("extract", "image-folder", "--train", photos, *run, "--out", "s").returncode == 0
    assert savs("select", "s", "--heads", 3, "--no-estimate").returncode == 0
    assert savs("export", "s", "--to", "classifier", "--out", "bundle").returncode == 0
    return tmp_path / "bundle"


def well_formed(config: dict[str, Any]) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Yield edits of a classifier that have the form of one, with the digest that they need."""
    edits = variants(config)
    random.Random(SEED).shuffle(edits)
    for place, new in edits:
        value = edited(config, place, new)
        try:
            value["run"] = digest(msgspec.convert(value, SelectionConfig).to_json())
            parse_config(value)
        except (ValueError, TypeError, KeyError):
            continue
        yield place, value


def write(folder: Path, original: Path, value: dict[str, Any]) -> None:
    arrays = folder / "classifier.safetensors"
    with safe_open(original / arrays.name, framework="numpy") as file:
        metadata = file.metadata() | {"run": value["run"]}
    save_file(load_file(original / arrays.name), arrays, metadata=metadata)
    value["sha256"] = hashlib.sha256(arrays.read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(value))


def test_an_edited_bundle_is_refused_in_a_line_or_does_what_it_says(
    savs, bundle, tmp_path, inputs, record_property
) -> None:
    original = shutil.copytree(bundle, tmp_path / "original")
    command = ("classify", bundle, inputs.root / "photos", "--model", "demo")
    config = json.loads((bundle / "config.json").read_text())
    tried = {False: 0, True: 0}
    for (place, value), _ in zip(well_formed(config), range(EDITS), strict=False):
        write(bundle, original, value)
        ran = savs(*command)
        tried[ran.returncode == 0] += 1
        record_property("tried", sum(tried.values()))
        assert ran.returncode in (0, 1), (place, ran.stderr)
        if ran.returncode:
            assert "error: " in ran.stderr, (place, ran.stderr)
            assert "Traceback" not in ran.stderr, (place, ran.stderr)
    assert sum(tried.values()) == EDITS
    assert min(tried.values()) > 0
