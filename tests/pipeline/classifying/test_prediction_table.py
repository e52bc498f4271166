"""Tables of predictions are written whole, in the form that their name says."""

import os
import resource
from types import SimpleNamespace

import polars as pl
import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.prediction_table import (
    Output,
    Predicted,
    TableForm,
    in_cells,
    outputs_of,
    write_predictions,
)
from savs.pipeline.errors import OutputError
from savs.pipeline.evaluation.suggest import read_predictions
from savs.pipeline.targets.one import CLASSIFIED_SCHEMA, ONE_CLASS


def classified(ids, media, reasons) -> pl.DataFrame:
    """Return rows of predictions that have nothing else."""
    rows = pl.DataFrame({"id": ids, "media": media, "reason": reasons})
    others = {name: kind for name, kind in CLASSIFIED_SCHEMA.items() if name not in rows.columns}
    found = rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in others.items())
    return found.select(list(CLASSIFIED_SCHEMA))


def write_table(out, rows: pl.DataFrame) -> None:
    """Write rows as a table, which needs nothing of the store."""
    predicted = Predicted(rows.lazy(), SimpleNamespace(target=ONE_CLASS), None)
    write_predictions(Output(out, TableForm()), predicted, lambda _: None)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_names_with_commas_brackets_and_line_breaks_are_read_again(tmp_path, suffix) -> None:
    names = [["a,b.jpg"], ["[x].jpg"], ["a\nb.jpg", 'c"d.jpg']]
    rows = classified(["1", "2", "3"], names, ["x", None, "a\nb"])
    out = tmp_path / f"rows{suffix}"
    write_table(out, rows)
    assert read_predictions(out)["media"].to_list() == names


def test_lists_are_json_in_csv() -> None:
    votes = [{"class": "cat", "score": 0.123456, "soft": 1.0}]
    rows = classified(["1", "2"], [["a"], ["a", "b"]], [None, "no image"]).with_columns(
        votes=pl.Series([votes, None], dtype=CLASSIFIED_SCHEMA["votes"]),
        prediction_set=pl.Series([["cat", "dog"], None]),
    )
    cells = in_cells(rows.lazy(), ONE_CLASS).select("media", "votes", "prediction_set").collect()
    assert cells.rows() == [("a", '{"cat":0.1235}', '["cat","dog"]'), ('["a","b"]', None, None)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_names_the_output_and_keeps_the_table(tmp_path, suffix) -> None:
    out = tmp_path / f"out{suffix}"
    write_table(out, classified(["a"], [["a.jpg"]], [None]))
    before, long = out.read_bytes(), classified([os.urandom(600).hex()], [["a.jpg"]], [None])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        with pytest.raises(OutputError, match=rf"out{suffix} cannot be written: File too large"):
            write_table(out, long)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_file_that_is_given_twice_is_refused_however_it_is_spelled(tmp_path) -> None:
    with pytest.raises(ParameterError, match=r"`out` names .*a\.csv twice; pass each file once"):
        outputs_of([tmp_path / "a.csv", tmp_path / "sub" / ".." / "a.csv"], None)


def test_a_pipe_and_another_name_are_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "out.parquet")
    for name in ("out.parquet", "out.txt"):
        with pytest.raises(OutputError, match="no folder, pipe or device"):
            TableForm().require_name(tmp_path / name)
