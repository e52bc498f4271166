"""The rows of real recordings: those that all languages have, grouped so that no split leaks."""

import json
import sys

import pytest
from draw_recordings import main


@pytest.fixture
def recordings(tmp_path):
    """Two voices with six names in common, of which two are digits and one is silence."""
    for voice in ("en_US_f_A", "fr_CA_f_B"):
        for name in ("hello", "bye", "letters/a", "digits/0", "digits/7", "silence/1", voice):
            path = tmp_path / voice / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    return tmp_path


def rows(monkeypatch, recordings, task):
    out = recordings / "rows.jsonl"
    arguments = ["draw", task, "--out", str(out), "--sounds", str(recordings)]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_the_rows_of_both_tasks(monkeypatch, recordings):
    language = rows(monkeypatch, recordings, "language")
    names = ["bye.wav", "digits/0.wav", "digits/7.wav", "hello.wav", "letters/a.wav"]
    assert [row["group"] for row in language] == [name for name in names for _ in range(2)]
    assert {(row["audio"].partition("/")[0], row["label"]) for row in language} == {
        ("en_US_f_A", "English"),
        ("fr_CA_f_B", "French"),
    }
    digit = rows(monkeypatch, recordings, "digit")
    assert [(row["audio"], row["label"], row["group"]) for row in digit] == [
        (f"{voice}/digits/{n}.wav", str(n), voice)
        for n in (0, 7)
        for voice in ("en_US_f_A", "fr_CA_f_B")
    ]


def test_one_language_is_no_task(monkeypatch, recordings):
    with pytest.raises(SystemExit, match="has recordings in 0 languages, expected two at least"):
        rows(monkeypatch, recordings / "hello", "digit")
