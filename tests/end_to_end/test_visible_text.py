"""Labels, ids, prompts and reasons with escape sequences: shown as text, never obeyed."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_results import save_result

from savs.stores import FeatureStore
from stores import make_store

RED, WIPE, SPOOF = "\x1b[31m", "\x1b]0;title\x07\x9b2J", "\rsaved\nall is well\u202e\u2028"
LABELS = [f"a{RED}", f"b{WIPE}"] * 3
SECOND = f"task{SPOOF}"
ODD = set(RED + WIPE + SPOOF) - {*"[31m]0;title2Jsaved all is well"} | {"\x00", "\x7f"}
BENCHMARK = """
from savs.datasets import About, Benchmark, Fields, Units, accuracy
E = "\\x1b[31m\\x9b\\r"
def parse(row):
    yield Fields(row.text("label"), "Is it?" + E, (row.text("image"),))
BENCHMARK = Benchmark("mine", "of" + E, {"image": "an" + E, "label": "l"}, parse, accuracy,
    about=About("t" + E, ("accuracy" + E,), "s", "s", "l", "f", {"image": "a" + E, "label": E}))
"""


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    """Return a store whose texts are hostile, with a test label that training lacks."""
    rng = np.random.default_rng(4)
    train, test = rng.normal(size=(2, 3, 12, 4)).astype(np.float32)
    rows = [{"subtask": task, "prompt": WIPE} for task in [None] * 6 + [SECOND] * 6]
    labels = LABELS * 2
    return make_store(
        *(tmp_path / "s", train, labels, test, [*labels[:-1], f"new{WIPE}{SPOOF}"]),
        train_rows=rows,
        test_rows=rows,
        test_skipped=[3],
    )


def shown(savs, *command: object, code: int = 0) -> str:
    """Return what a command prints, which has nothing that a terminal obeys."""
    done = savs(*command)
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert not ODD.intersection(text) - {"\n"}
    return text


@pytest.mark.thorough
def test_tables_and_notes_show_escapes_as_text(savs, store) -> None:
    text = shown(savs, "show", store.path)
    assert r"a\x1b[31m" in text
    assert r"b\x1b]0;title\x07\x9b2J" in text
    assert r"task\rsaved\nall is well\u202e\u2028" in text
    assert r"saved\nall" in shown(savs, "select", store.path, "--heads", "2")
    assert r"new\x1b" in shown(savs, "evaluate", store.path)
    assert r"\x1b" in shown(savs, "query", store.path, "SELECT id, label, prompt FROM examples")
    shown(savs, "sweep", store.path, "--draws", "1")
    for command in (("show",), ("evaluate",), ("select", "--heads", "2")):
        assert json.loads(savs(*command, store.path, "--json").stdout)
        shown(savs, *command, store.path, "--json")


@pytest.mark.thorough
def test_json_has_the_text_itself(savs, store) -> None:
    done = savs("query", store.path, "SELECT label FROM examples LIMIT 2", "--json")
    assert [row["label"] for row in json.loads(done.stdout)] == LABELS[:2]


@pytest.mark.thorough
def test_errors_show_escapes_as_text(savs, store, tmp_path) -> None:
    chosen = tmp_path / "two"
    shown(savs, "select", store.path, "--heads", "2", "--out", chosen)
    other = make_store(
        tmp_path / "t",
        np.ones((3, 6, 4), np.float32),
        LABELS,
        np.ones((3, 6, 4), np.float32),
        LABELS,
        train_rows=[{"subtask": f"x{RED}"}] * 6,
        test_rows=[{"subtask": f"x{RED}"}] * 6,
    )
    text = shown(savs, "select", other.path, "--heads", chosen, code=1)
    assert r"task\rsaved" in text
    shown(savs, "sweep", store.path, "--draws", "1", "--readout", f"x{RED}", code=1)


def test_names_of_files_and_folders_are_text(savs, store, tmp_path) -> None:
    (store.path / f"odd{RED}.h5").write_bytes(b"")
    assert r"odd\x1b[31m.h5" in shown(savs, "verify", store.path, code=3)
    folders = [save_result(tmp_path / f"{name}{WIPE}", [1, 0, 1, 0]) for name in "pq"]
    assert r"p\x1b]0;title" in shown(savs, "compare", *folders)


@pytest.mark.parametrize(
    "text",
    [r'["sho\u001b[31mw"]', '[show]\n"json\\u001b[31m" = true'],
    ids=["command", "option"],
)
def test_a_wrong_config_file_is_text(savs, store, tmp_path, text) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert "\\x1b[31m" in shown(savs, "show", store.path, "--config", "run.toml", code=2)


def test_a_benchmark_of_a_file_is_text(savs, tmp_path) -> None:
    Path(tmp_path / "mine.py").write_text(BENCHMARK)
    assert r"\x1b[31m" in shown(savs, "benchmarks", "mine.py")


def test_skips_of_an_extraction_are_text(savs, inputs, tmp_path) -> None:
    train, test = inputs.few_shots(train=4, test=2)
    rows = [json.loads(line) for line in test.read_text().splitlines()]
    image = inputs.root / f"images/{RED}bad.png"
    image.write_bytes(b"no image")
    rows[0] |= {"image": f"images/{image.name}", "id": f"id{SPOOF}"}
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = shown(
        *(savs, "extract", "general", "--train", train, "--test", test, "--model", "demo"),
        *("--out", tmp_path / "new"),
        code=4,
    )
    assert r"\x1b[31mbad.png" in text
    assert r"\x1b[31mbad.png" in shown(savs, "show", tmp_path / "new")
