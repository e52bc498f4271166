"""A checkpoint of a stranger runs no code unless `--trust-remote-code` allows it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import hostile_files
import pytest

from savs.pipeline.demo import DEMO_MODEL

pytestmark = pytest.mark.thorough


def edit(file: Path, **fields) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def chat_template(folder: Path, canary: Path) -> None:
    (folder / "chat_template.jinja").write_text(hostile_files.template(canary))


def pickled_weights(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(hostile_files.zipped(canary))


def pickle_as_safetensors(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").write_bytes(hostile_files.pickled(canary))


def own_classes(folder: Path, canary: Path) -> None:
    (folder / "evil.py").write_text(hostile_files.python(canary))
    classes = ("AutoConfig", "AutoModelForImageTextToText", "AutoModelForMultimodalLM")
    edit(
        folder / "config.json",
        model_type="evil",
        auto_map={name: f"evil.{name}" for name in classes},
    )


def own_processor(folder: Path, canary: Path) -> None:
    (folder / "evil.py").write_text(hostile_files.python(canary))
    for name in ("processor_config.json", "tokenizer_config.json"):
        edit(
            folder / name,
            auto_map={
                "AutoProcessor": "evil.P",
                "AutoImageProcessor": "evil.I",
                "AutoTokenizer": ["evil.T", "evil.T"],
            },
        )


PLANTS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "chat template": (chat_template, "chat template fails (access to attribute '__init__'"),
    "pickled weights": (pickled_weights, "cannot be loaded: "),
    "pickle as safetensors": (pickle_as_safetensors, "cannot be loaded: "),
    "own classes": (own_classes, "if you trust the code that comes with it"),
    "own processor": (own_processor, ""),
}


@pytest.mark.parametrize(("plant", "message"), PLANTS.values(), ids=PLANTS.keys())
def test_a_checkpoint_runs_no_code(savs, inputs, tmp_path, plant, message) -> None:
    shutil.copytree(DEMO_MODEL, tmp_path / "model")
    plant(tmp_path / "model", tmp_path / "canary")
    train, test = inputs.few_shots(train=2, test=2)
    files = ("general", "--train", train, "--test", test, "--model", tmp_path / "model")
    for command in (
        ("extract", *files, "--out", tmp_path / "store", "--answers", "labels"),
        ("extract", *files, "--out", tmp_path / "other"),
        ("extract", *files, "--out", tmp_path / "dry", "--dry-run", "--page", tmp_path / "p.html"),
    ):
        done = savs(*command)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "canary").exists()
        if "--dry-run" not in command:  # which tells of examples that cannot be run
            assert message in done.stderr
            assert (done.returncode == 0) == (not message)


def test_a_pickled_adapter_runs_no_code(savs, inputs, tmp_path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_model.bin").write_bytes(hostile_files.zipped(tmp_path / "canary"))
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps(config))
    train, test = inputs.few_shots(train=2, test=2)
    done = savs(
        *("extract", "general", "--train", train, "--test", test, "--model", "demo"),
        *("--adapter", tmp_path / "adapter", "--out", tmp_path / "store"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "canary").exists()
