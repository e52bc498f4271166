"""Names of files that are not UTF-8: Linux allows them, and no table can hold them."""

import os
import sys

import polars as pl
import pytest
from input_folder import Inputs

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names"),
]

ODD = os.fsdecode(b"odd\xff")
MODEL = ("--model", "demo", "--engine", "local,workers=0")


@pytest.fixture
def photos(savs, inputs: Inputs, tmp_path):
    """Return folders of two classes, each with an image whose name is not UTF-8, and a store."""
    for label in "ab":
        for number, name in enumerate((0, 1, 2, ODD)):
            inputs.image(f"photos/{label}/{name}.png", 10 * ord(label) + number)
    photos = inputs.root / "photos"
    ran = savs("extract", "image-folder", "--test", photos, "--shots", 1, *MODEL, "--out", "store")
    assert ran.returncode == 0
    assert "2 files have names that are not UTF-8 and left out: a/odd\\udcff.png" in ran.stderr
    assert savs("select", "store", "--heads", 4, "--no-estimate").returncode == 0
    return photos


def test_one_such_name_leaves_the_other_images_of_a_folder(savs, photos, tmp_path) -> None:
    ran = savs("classify", "store", photos, "--out", "new.csv")
    assert ran.returncode == 0
    assert "Ignored 2 files in" in ran.stderr
    assert "of names that are not UTF-8: " in ran.stderr
    assert "odd\\udcff.png" in ran.stderr
    assert pl.read_csv(tmp_path / "new.csv").height == 6


def test_every_output_may_lie_in_such_a_folder(savs, photos, tmp_path) -> None:
    (tmp_path / "store").rename(tmp_path / ODD)
    out = f"{ODD}/of-tests"
    (tmp_path / out).mkdir()
    commands = [
        ("evaluate", ODD),
        ("report", ODD, "--media-root", photos, "--out", f"{out}/report.html"),
        ("explain", ODD, "--media-root", photos, "--out", f"{out}/explain.html"),
        *(("export", ODD, "--to", to, "--out", f"{out}/x.{to}") for to in FORMS),
        ("export", ODD, "--to", "store", "--out", f"{out}/small"),
        ("export", ODD, "--to", "classifier", "--out", f"{out}/bundle"),
        ("import", f"{out}/x.parquet", "--out", f"{out}/imported"),
        ("classify", ODD, photos, "--out", f"{out}/new.parquet"),
        ("suggest", f"{out}/new.parquet.store", "--out", f"{out}/next.csv"),
        ("verify", ODD),
    ]
    for command in commands:
        ran = savs(*command)
        assert ran.returncode == 0, ran.stderr
    assert "odd\\udcff" in (tmp_path / out / "report.html").read_text()
    assert savs("evaluate", ODD, "--out", f"results-{ODD}").returncode == 0
    assert savs("report", f"results-{ODD}", "--out", "again.html").returncode == 0
    (tmp_path / ODD / f"{ODD}.h5").write_bytes(b"")
    ran = savs("verify", ODD)
    assert ran.returncode == 3, ran.stderr
    assert "odd\\udcff.h5" in ran.stdout


FORMS = ("parquet", "npz", "safetensors")
