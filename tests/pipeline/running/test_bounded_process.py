"""A table that is made in a process of its own, whose end says nothing about the table."""

import signal
from importlib import import_module

import pytest

from savs.pipeline.running.bounded_process import BoundError, frame_within_limits

# as a thread that is still in a scan ends an interpreter that is taken down around it
ABORTING = """
import atexit, os
import polars as pl

def made():
    atexit.register(os.abort)
    return pl.DataFrame({"a": [1]})

def refused():
    atexit.register(os.abort)
    raise LookupError("no such row")
"""


@pytest.mark.thorough
def test_a_table_is_returned_however_its_process_would_have_ended(tmp_path, monkeypatch) -> None:
    (tmp_path / "aborting.py").write_text(ABORTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    aborting = import_module("aborting")

    assert frame_within_limits(aborting.made)["a"].to_list() == [1]
    with pytest.raises(LookupError, match="no such row"):
        frame_within_limits(aborting.refused)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL])
def test_a_process_that_is_ended_for_its_memory_has_no_table(number) -> None:
    with pytest.raises(BoundError, match="more memory than the limit"):
        frame_within_limits(signal.raise_signal, number)
