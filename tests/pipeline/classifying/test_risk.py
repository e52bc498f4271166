"""How sure the predictions of new images are: probability, sets, `unsure`, typicality."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from savs import classify, evaluate, load_selection, save_selection
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough

SURE = ["id", "prediction", "probability", "prediction_set", "unsure", "typicality", "atypical"]


def test_new_images_get_what_evaluate_says_of_them(made, calibrated) -> None:
    expected = evaluate(made.store, load_selection(calibrated), risk=0.3).predictions
    found = classify(calibrated, made.table, risk=0.3).predictions
    assert_frame_equal(found.select(SURE), expected.select(SURE), abs_tol=1e-4)
    assert 0 < found["unsure"].sum() < found.height
    assert (found["unsure"] == (found["prediction_set"].list.len() != 1)).all()
    typical = load_selection(calibrated).tasks[0].decision.typical
    own = found.filter(pl.col("subtask") == load_selection(calibrated).tasks[0].subtask)
    assert (own["atypical"] == (own["typicality"] < np.float32(typical))).all()
    assert found["typicality"].is_between(-1, 1).all()


def test_without_a_risk_there_are_no_sets_and_without_calibration_a_note(made, calibrated) -> None:
    found = classify(calibrated, made.images[:2], subtask="animal").predictions
    assert found["unsure"].null_count() == found.height
    assert found["prediction_set"].null_count() == found.height
    assert found["typicality"].null_count() == 0
    said: list[str] = []
    plain = classify(made.classifier, made.table, reporting=Reporting(said.append))
    assert any("the classifier is not calibrated" in line for line in said)
    assert plain.predictions["typicality"].null_count() == plain.predictions.height


def test_an_image_like_none_of_the_training_ones_is_flagged(made, calibrated, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    given = [*made.images[:6], tmp_path / "noise.png"]
    selection = load_selection(calibrated)
    kept = replace(selection, tasks=tuple(t for t in selection.tasks if t.subtask == "animal"))
    saved = save_selection(kept, tmp_path / "animal")
    found = classify(saved, given).predictions
    assert found["typicality"].arg_min() == 6
    assert found["atypical"].to_list() == [*[False] * 6, True]


def test_the_risk_of_a_file_stays(made, calibrated, tmp_path) -> None:
    out = tmp_path / "out.csv"
    classify(calibrated, made.images[:1], out=out, subtask="animal", risk=0.2)
    with pytest.raises(OutputError, match=r"made otherwise \(risk differ\)"):
        classify(calibrated, made.images[:1], out=out, subtask="animal", risk=0.1)
    row = pl.read_csv(out)
    assert json.loads(row["prediction_set"][0]) == [row["prediction"][0]]
    assert row.columns[-5:] == ["prediction_set", "unsure", "typicality", "atypical", "reason"]
    again = classify(calibrated, made.images[:2], out=out, subtask="animal", risk=0.2)
    assert again.rows == 1


def test_a_risk_that_cannot_be_is_refused_before_the_model_is_loaded(made, calibrated) -> None:
    with pytest.raises(ParameterError, match="`risk` is 0, expected"):
        classify(calibrated, made.images[0], risk=0, subtask="animal")
    with pytest.raises(SelectionError, match="has no calibration"):
        classify(made.classifier, made.images[0], risk=0.1, subtask="animal")
