"""Several processes make one file of predictions."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from savs.foundation.errors import ParameterError
from savs.pipeline import classify
from savs.pipeline.classifying.prediction_file import PredictionFile, open_predictions
from savs.pipeline.classifying.scoring import CLASSIFIED_SCHEMA
from savs.pipeline.classifying.shared_predictions import (
    parts_folder,
    require_shareable,
    share_predictions,
)
from savs.pipeline.errors import OutputError
from savs.pipeline.running.progress import Reporting
from savs.stores import ShardSpec

pytestmark = pytest.mark.thorough

SCHEMA = {
    name: pl.Schema(CLASSIFIED_SCHEMA)[name] for name in CLASSIFIED_SCHEMA if name != "subtask"
}
MADE = {"classifier": "x"}
NAMES = [*"abcdef"]
SPECS = [ShardSpec("test", number, 0, 2, "") for number in range(3)]


def rows_of(spec: ShardSpec) -> pl.DataFrame:
    names = NAMES[2 * spec.number : 2 * spec.number + 2]
    found = {"id": names, "media": [[n] for n in names], "prediction": [n.upper() for n in names]}
    empty = {name: [None] * len(names) for name in SCHEMA if name not in found}
    return pl.DataFrame(found | empty, schema_overrides=SCHEMA).select(*SCHEMA)


def shared_by(out: Path, **given):
    return share_predictions(out, SCHEMA, MADE, NAMES, retry_skipped=False, **given)


WHOLE = pl.concat(map(rows_of, SPECS))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_parts_are_made_once_each_and_put_together_once(tmp_path, suffix) -> None:
    out = tmp_path / f"out{suffix}"
    with shared_by(out) as one, shared_by(out) as two:
        mine, theirs = one.open(SPECS, 0.0), two.open(SPECS, 0.5)
        ours, yours = mine.claimed(), theirs.claimed()
        first, second = next(ours), next(yours)
        assert first != second
        two.take(second.number, rows_of(second))
        one.take(first.number, rows_of(first))
        (third,) = ours
        assert {first.number, second.number, third.number} == {0, 1, 2}
        assert not list(yours)  # the third is claimed by the other
        one.take(third.number, rows_of(third))
        assert not theirs.wait()
        assert_frame_equal(one.finish(["id"]), WHOLE.select("id"))
        assert two.is_done(SPECS[0])  # the parts are gone, and nobody makes them again
        assert_frame_equal(two.finish(["id"]), WHOLE.select("id"))
        assert [one.rows, two.rows] == [4, 2]
    assert not parts_folder(out).exists()
    with open_predictions(out, SCHEMA, MADE, retry_skipped=False, force=False) as file:
        columns = ["id", "media", "prediction"]
        assert_frame_equal(file.done.select(columns), WHOLE.select(columns))


def test_a_run_that_was_killed_while_it_put_parts_together_goes_on(tmp_path, monkeypatch) -> None:
    out = tmp_path / "out.jsonl"
    append = PredictionFile._append

    def die(self, rows):
        if "c" in rows["id"]:
            raise KeyboardInterrupt
        append(self, rows)

    monkeypatch.setattr(PredictionFile, "_append", die)
    with shared_by(out) as shared:
        fill(shared, SPECS)
        with pytest.raises(KeyboardInterrupt):
            shared.finish(["id"])
    monkeypatch.setattr(PredictionFile, "_append", append)
    with shared_by(out) as shared:
        assert shared.done["id"].to_list() == ["a", "b"]
        assert not shared.open(SPECS[1:], 0.0).wait()  # all parts are there
        assert shared.finish(["id"])["id"].to_list() == NAMES


def fill(shared, specs) -> None:
    parts = shared.open(specs, 0.0)
    while parts.wait():
        for spec in parts.claimed():
            shared.take(spec.number, rows_of(spec))


def test_what_another_process_wrote_meanwhile_is_not_written_twice(tmp_path) -> None:
    out = tmp_path / "out.csv"
    with shared_by(out) as late:
        with shared_by(out) as early:
            fill(early, SPECS)
            early.finish(["id"])
        fill(late, SPECS)
        assert late.finish(["id"])["id"].to_list() == NAMES
    assert pl.read_csv(out)["id"].to_list() == NAMES


def be_second(monkeypatch) -> None:
    """Let this process be the second of two, and parts be small."""
    monkeypatch.setattr("savs.pipeline.classifying.example_parts.ROWS", 2)
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("RANK", "1")):
        monkeypatch.setenv(name, value)


def test_ranks_say_of_risk_and_typicality_what_one_process_says(
    made, calibrated, tmp_path, monkeypatch
) -> None:
    given = {"risk": 0.3, "subtask": "animal"}
    whole = classify(calibrated, made.images[:5], **given).predictions
    be_second(monkeypatch)
    out = tmp_path / "out.parquet"
    classify(calibrated, made.images[:5], out=out, **given)
    assert_frame_equal(pl.read_parquet(out), whole, abs_tol=1e-5)
    assert whole["unsure"].null_count() == whole["typicality"].null_count() == 0
    with pytest.raises(OutputError, match=r"made otherwise \(risk differ\)"):
        classify(calibrated, made.images[:5], out=out, risk=0.2, subtask="animal")


def test_ranks_predict_what_one_process_predicts(made, animals, tmp_path, monkeypatch) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    classify(animals, made.images[:5], out=whole)
    be_second(monkeypatch)
    done = classify(animals, made.images[:5], out=out)
    assert [done.rows, done.predictions.height] == [5, 5]
    assert_frame_equal(pl.read_ndjson(out), pl.read_ndjson(whole), abs_tol=1e-5)
    said: list[str] = []
    again = classify(animals, made.images[:5], out=out, reporting=Reporting(said.append))
    assert again.rows == 0
    assert "0 examples to do: the model is not loaded" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((["a.jpg"], None, False), "pass --out FILE"),
        ((["a.jpg"], Path("x.csv"), True), "would each replace x.csv; remove it before"),
        ((["-"], Path("x.csv"), False), "cannot share standard input"),
    ],
)
def test_what_processes_cannot_share_is_refused(given, message) -> None:
    inputs, out, force = given
    with pytest.raises(ParameterError, match=message):
        require_shareable(inputs, out, force=force)
