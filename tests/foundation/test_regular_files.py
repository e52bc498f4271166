"""Texts that are read whole come from files that have an end."""

import os

import pytest

from savs.foundation.regular_files import read_regular_text


def test_a_text_is_read_without_its_mark(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_regular_text(tmp_path / "a.txt") == "café"


def test_a_pipe_a_device_and_other_bytes_are_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "other").write_bytes(b"caf\xe9")
    for name in ("pipe", "device"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_regular_text(tmp_path / name)
    with pytest.raises(ValueError, match="not UTF-8"):
        read_regular_text(tmp_path / "other")
