import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np

from savs import pipeline
from stores import make_store

ROOT = Path(__file__).parents[2]


def test_the_version_is_printed_and_nothing_else(savs) -> None:
    done = savs("--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_written_in_one_place_and_the_others_agree() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {written}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1].rstrip(",") == written


def test_every_selection_bundle_and_result_says_which_version_wrote_it(tmp_path, savs) -> None:
    features = np.random.default_rng(0).normal(size=(4, 40, 3)).astype(np.float32)
    store = make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    found = pipeline.evaluate(store, pipeline.select(store, heads=2))
    pipeline.save_evaluation(found, tmp_path / "s/results/vote")
    savs("export", tmp_path / "s", "--to", "classifier", "--out", tmp_path / "bundle")
    files = ("s/results/vote/metrics.json", "s/results/vote/config.json", "bundle/config.json")
    assert {json.loads((tmp_path / file).read_text())["savs"] for file in files} == {
        version("savs")
    }
