"""A Space in a fresh environment with what its requirements.txt names, and nothing else."""

import subprocess
import sys

import pytest
from standalone import ask_space, running_space

from savs import calibrate, classify, extract, save_selection, select, write_space
from savs.datasets.benchmarks.shapes import write_shapes

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
def test_the_page_runs_with_what_its_requirements_name(tmp_path) -> None:
    drawn = write_shapes(tmp_path, seed=3, tasks=("animal",), train_per_class=8, test_units=4)
    store = extract("shapes", train=drawn.train, test=drawn.test, model="demo", out=tmp_path / "s")
    selection = calibrate(store.store, select(store.store, heads=8)).selection
    saved = save_selection(selection, tmp_path / "saved")
    folder = write_space(store.store, saved, tmp_path / "space").path
    image = sorted(drawn.root.glob("images/test/*"))[0]
    expected = classify(folder, [image]).predictions

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = str(tmp_path / "env/bin/python")
    needs = str(folder / "requirements.txt")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", needs], check=True)
    absent = subprocess.run([python, "-c", "import savs"], capture_output=True, check=False)
    assert b"No module named 'savs'" in absent.stderr
    with running_space(folder, python=python) as address:
        label, _ = ask_space(address, image)
    assert label["label"] == expected["prediction"][0]
    sure = pytest.approx(expected["probability"][0], abs=1e-3)
    assert label["confidences"][0]["confidence"] == sure
