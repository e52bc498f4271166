"""The wheel in an environment of its own: the core alone, without torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stores import make_store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_wheel_evaluates_a_store_without_torch(tmp_path):
    run(sys.executable, "-P", "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("savs-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "savs/pipeline/demo/model/model.safetensors" in names
    assert {"savs/__init__.py", "savs/py.typed"} <= set(names)
    pages = ("pages/style.css", "pages/page.html", "report/report.html", "report/report.js",
             "explain/explain.html", "preview/preview.html")  # fmt: skip
    assert {f"savs/pipeline/reports/{page}" for page in pages} <= set(names)
    for copied in ("predict.py", "app.py", "requirements.txt"):
        assert f"savs/pipeline/classifying/bundle/files/{copied}" in names
    assert not [name for name in names if name.startswith(("tests/", "build/"))]
    assert not [name for name in names if name.endswith(".jsonl")]  # logs of trainings
    run(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    packages = run(python, "-m", "pip", "list")
    assert "torch" not in packages
    features = np.random.default_rng(0).normal(size=(21, 4, 3)).astype(np.float32)
    make_store(tmp_path / "store", features, list("abab"), features, list("abab"))
    assert "accuracy" in run(tmp_path / "env/bin/savs", "evaluate", tmp_path / "store")
