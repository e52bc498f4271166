"""Hints are commands that a shell runs as meant; what cannot work is said before a model runs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs as api
from savs.datasets import MediaError
from savs.pipeline.cli.commands import COMMANDS
from savs.stores import StoreWriteError
from stores import make_store

PACKAGE = Path(__file__).parents[2]
ROOMS = ("datasets", "foundation", "pipeline", "stores")
NOBODY = 65534


def odd_store(folder: Path, **more):
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(2, 12, 3)).astype(np.float32) for _ in range(2))
    labels = ["a", "b"] * 6
    return make_store(folder, train, labels, test, labels, **more)


def test_no_message_puts_a_path_into_a_command_by_itself() -> None:
    """A path may have spaces, `;` or `$(...)`: `command` quotes it."""
    bare = re.compile(rf'f".*\bsavs ({"|".join(COMMANDS)}) [^"]*\{{(?!command)')
    known = (
        *("savs app is at {address", "savs classify . IMAGES", "savs evaluate NEW"),
        "savs classify loads and runs",
    )
    for room in ROOMS:
        for file in (PACKAGE / room).rglob("*.py"):
            lines = file.read_text("utf-8").splitlines()
            wrong = [line for line in lines if bare.search(line)]
            assert not [line for line in wrong if not any(map(line.count, known))], file


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("select", "STORE"), ["savs", "evaluate", "STORE"]),
        (("select", "STORE", "--out", "OUT"), ["savs", "evaluate", "STORE", "--selection", "OUT"]),
        (("label", "STORE", "LABELS"), ["savs", "train", "STORE"]),
        (("train", "STORE"), ["savs", "classify", "STORE", "NEW"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_hints_are_quoted_for_the_shell(savs, tmp_path, command, expected) -> None:
    name = "a;b&c$(touch PWN) 'd'"
    store = odd_store(tmp_path / name)
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\ntest:0,b\n")
    places = {"STORE": str(store.path), "OUT": str(tmp_path / f"{name}2"), "LABELS": str(labels)}
    done = savs(*[places.get(word, word) for word in command])
    assert done.returncode == 0, done.stderr
    (hint,) = [line for line in done.stderr.splitlines() if "next: " in line]
    words = shlex.split(hint.partition("next: ")[2])
    assert words[: len(expected)] == [places.get(word, word) for word in expected]
    run = subprocess.run(
        ["sh", "-c", "savs() { printf '%s\\n' \"$@\"; }; " + hint.partition("next: ")[2]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines()[:2] == words[1:3]
    assert not (tmp_path / "PWN").exists()


@pytest.mark.thorough
def test_a_trained_store_of_imported_features_says_how_new_ones_are_classified(
    savs, tmp_path
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(24, 2, 4)).astype(np.float32))
    rows = [{"label": "ab"[n % 2], "split": "test" if n < 8 else "train"} for n in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("--labels", tmp_path / "rows.jsonl", "--out", tmp_path / "s")
    assert savs("import", tmp_path / "x.npy", *given).returncode == 0
    done = savs("train", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    np.save(tmp_path / "new.npy", rng.normal(size=(5, 2, 4)).astype(np.float32))
    files = {"NEW.npy": tmp_path / "new.npy", "NEW": tmp_path / "new"}
    hints = [line.strip() for line in done.stderr.splitlines() if " NEW" in line]
    assert [shlex.split(hint.removeprefix("next: "))[1] for hint in hints] == ["import", "classify"]
    for hint in hints:
        words = [str(files.get(word, word)) for word in shlex.split(hint.removeprefix("next: "))]
        assert savs(*words[1:]).returncode == 0


def test_no_error_of_labels_names_an_option_that_is_not_there(tmp_path, monkeypatch) -> None:
    store = odd_store(tmp_path / "s")

    def refuse(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("savs.stores.write.writer.write_manifest", refuse)
    with pytest.raises(StoreWriteError, match="Permission denied; make it writable") as refused:
        api.label(store, {"test:0": "a"})
    assert "`" not in str(refused.value)


@pytest.fixture
def no_model(monkeypatch):
    """Let the weights of a model never be read."""

    def load(*_args, **_more):
        raise AssertionError("the model was loaded")

    pytest.importorskip("torch")
    monkeypatch.setattr("savs.pipeline.extraction.model_run.load", load)
    monkeypatch.setattr("savs.pipeline.classifying.training.choose_readout_by_folds", load)


def test_a_place_for_results_that_cannot_be_written_is_told_first(tmp_path, no_model) -> None:
    store = odd_store(tmp_path / "s")
    (store.path / "results").write_text("a file")
    (tmp_path / "photos").mkdir()
    with pytest.raises(StoreWriteError, match=r"trained cannot be written: Not a dir"):
        api.train(store)
    with pytest.raises(StoreWriteError, match=r"cannot be written: Not a directory"):
        api.train(tmp_path / "photos", out=store.path / "results/new", model="demo")


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="asks as another user")
def test_a_folder_of_another_user_is_told_first(tmp_path, no_model) -> None:
    store = odd_store(tmp_path / "s")
    store.path.chmod(0o555)
    for above in (tmp_path, *tmp_path.parents[:3]):  # one more in a process of pytest-xdist
        above.chmod(0o755)
    code = f"""
import os, sys
from pathlib import Path
from savs.pipeline.running.result_files import require_writable
os.setuid({NOBODY})
require_writable(Path({str(store.path / "results/trained")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "results/trained cannot be written: Permission denied; pass a writable" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("gone", "none of the 8 media exists: gone/a0.png is not in"),
        (
            "gone/a",
            "none of 4 train examples of the class 'a' has its media: gone/a0.png is",
        ),
        ("gone/a0", None),
    ],
)
def test_photos_that_are_gone_are_told_before_the_model_is_loaded(
    tmp_path, no_model, gone, message
) -> None:
    rows = [{"image": f"gone/{'ab'[n % 2]}{n}.png", "label": "ab"[n % 2]} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "gone").mkdir()
    for row in rows:
        if not row["image"].startswith(gone):
            Image.new("RGB", (64, 64), "red").save(tmp_path / row["image"])
    given = {"out": tmp_path / "s", "model": "demo", "question": "Which?"}
    with pytest.raises(MediaError if message else AssertionError, match=message or "was loaded"):
        api.train(tmp_path / "rows.jsonl", **given)
    assert not (tmp_path / "s/store.json").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        pytest.param("ascii", ("show",), marks=pytest.mark.costly),
        pytest.param("latin-1", ("show", "--json"), marks=pytest.mark.costly),
        ("cp1252", ("query", "SELECT id, label FROM examples", "--format", "csv")),
    ],
)
def test_a_terminal_without_unicode_gets_escapes(tmp_path, encoding, words) -> None:
    values = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    labels = ["Käse", "🧀"] * 2
    store = make_store(tmp_path / "s", values, labels, values, labels)
    command, *more = words
    code = "from savs.pipeline.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, command, str(store.path), *more],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    if "--json" in words:
        assert "🧀" in json.loads(done.stdout)["classes"][1].values()
    elif "csv" in words:
        assert "train:1,🧀" in done.stdout.decode("utf-8")
    else:
        assert rb"\U0001f9c0" in done.stdout


def test_a_card_shows_hostile_names_as_text(tmp_path) -> None:
    spoof = "a\x00\x1b[31mred\u202egnp.exe\u2066\u200f"
    rows = [{"label": name} for name in (spoof, "b" * 100_000)] * 6
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 12, 3)).astype(np.float32)
    labels = [row["label"] for row in rows]
    prompts = [{"prompt": f"{spoof}?\n\n# {'x' * 100_000}"}] * 12
    store = make_store(
        *(tmp_path / "t", values, labels, values, labels),
        model=spoof,
        train_rows=prompts,
        test_rows=prompts,
    )
    folder = api.save_selection(api.select(store, heads=2), tmp_path / "r" / f"`x`\n{spoof[2:]}")
    api.write_bundle(store, folder, tmp_path / "bundle")
    card = (tmp_path / "bundle/README.md").read_text("utf-8")
    assert not set(card) & {*"\x00\x1b\u202e\u2066\u200f"}
    assert len(card) < 10_000
    assert r"\x00\x1b[31mred\u202egnp.exe" in card
