"""The table of sites: what its columns choose from, and the whole script on tiny tasks."""

import csv
import sys
from xml.etree import ElementTree

import compare_methods
import numpy as np
import pytest
from method_comparison import sites, tasks

from savs import evaluate, open_store, select, sweep
from stores import make_store

pytestmark = pytest.mark.costly


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """Return a store of six heads, two of them good, and one whose only head is rather good."""
    monkeypatch.setattr(sites, "NUMBERS", (1, 2, 5))
    monkeypatch.setattr(sites, "SHOTS", (6,))
    rng = np.random.default_rng(5)
    train, test = list("abc" * 6), list("abc" * 12)

    def draw(labels, strengths):
        noise = rng.normal(size=(len(strengths), len(labels), 4))
        for values, strength in zip(noise, strengths, strict=True):
            values[:, :3] += strength * np.eye(3)[["abc".index(label) for label in labels]]
        return noise.astype(np.float32)

    strengths = {"heads": (0, 2, 0, 2, 0, 0), "norm": (1.5,)}
    return {
        name: make_store(tmp_path / name, draw(train, of), train, draw(test, of), test)
        for name, of in strengths.items()
    }


def test_nested_choice_is_that_of_the_folds_of_the_draw_alone(stores):
    """With all examples drawn it is the number whose folds `savs evaluate` finds best."""
    store = stores["heads"]
    right = [
        evaluate(store, select(store, heads=count, readout="lda"), folds=5).metrics[0].value
        for count in (1, 2, 5, 6)
    ]
    assert len(set(right)) > 1
    chosen = list(sites._nested_numbers(store, [1, 2, 5, 6], 1, seed=0))
    assert chosen == [(1, 2, 5, 6)[int(np.argmax(right))]]
    assert list(sites._nested_numbers(stores["norm"], [1], 1, seed=0)) == [1]


def test_the_columns_of_the_control_are_sweeps_of_that_many(stores, monkeypatch):
    monkeypatch.setattr(sites, "SHOTS", (3,))
    found = sites._control(stores, 4, seed=7)
    for text, heads in (("best one", 1), ("all", "all")):
        for name, store in stores.items():
            alone = sweep(store, heads=[heads], shots=[3], draws=4, readouts=["lda"], seed=7)
            row = found[text].summary.filter(store=name)
            assert row["mean"].item() == pytest.approx(alone.summary["mean"][0])
    both = sweep(stores, heads=["all"], shots=[3], draws=4, readouts=["lda"], seed=7).summary
    for column in ("difference", "difference_low", "difference_high", "p"):
        assert found["all"].summary[column].to_list() == pytest.approx(
            both.filter(metric="accuracy")[column].to_list(), nan_ok=True
        )


def test_the_script_on_tiny_tasks(tmp_path, monkeypatch, capfd):
    for module, name, value in (
        (tasks, "TESTS", 12),
        (sites, "SITES", ("heads", "residual-slices", "norm")),
        (sites, "READOUTS", ("lda", "vote")),
        (sites, "POOL", 4),
        (sites, "SHOTS", (1, 2)),
    ):
        monkeypatch.setattr(module, name, value)
    given = ["--sites", "--work", str(tmp_path), "--tasks", "animal,creature", "--draws", "2"]
    monkeypatch.setattr(sys, "argv", ["compare_methods.py", *given])
    compare_methods.main()
    parts = [part.splitlines() for part in capfd.readouterr().out.split("\n\n")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in parts[0]]
    assert rows[0][:5] == ["site", "candidates", "bytes", "MFLOP", "lda, 1 shot"]
    assert [row[:3] for row in rows[2:]] == [
        ["heads", "48 x 16", "3,072"],
        ["residual-slices", "48 x 16", "3,072"],
        ["norm", "1 x 128", "512"],
        ["clip", "1 x 64", "256"],
    ]
    flop = [int(row[3]) for row in rows[2:]]
    assert flop[0] == flop[1] == flop[2] > 2 * flop[3] > 0  # one pass makes all sites
    assert parts[1][0] == "| site | animal | creature |"
    assert parts[2][0] == "| site | best one | best 20 | all | nested choice |"

    of = tmp_path / "stores" / "animal"
    stores = {name: open_store(of / "demo" / name) for name in sites.SITES}
    stores["clip"] = open_store(of / "demo-clip")
    seed = compare_methods.SEED
    again = sweep(stores, heads=[20], shots=[2], draws=2, readouts=["lda"], seed=seed).summary
    again = again.filter(metric=again["metric"][0])
    with (tmp_path / "sites.csv").open() as file:
        kept = [
            row
            for row in csv.DictReader(file)
            if (row["data_set"], row["readout"], row["shots"], row["choice"], row["metric"])
            == ("animal", "lda", "2", "", again["metric"][0])
        ]
    assert [float(row["mean"]) for row in kept] == pytest.approx(again["mean"].to_list())
    heads = next(line for line in parts[1] if line.startswith("| heads"))
    assert heads.split(" | ")[1] == f"{100 * again['mean'][0]:.1f}"
    assert "residual-slices & 48 x 16 & 3,072 & " in (tmp_path / "sites.tex").read_text()
    figure = ElementTree.parse(tmp_path / "sites.svg").getroot()
    texts = {element.text for element in figure.iter()}
    assert {"heads", "norm", "clip", "mean accuracy of 2 tasks (%) by examples per class"} <= texts


def test_a_missing_package_of_cells_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset.utils", None)
    with pytest.raises(tasks.ParameterError, match="pip install elpv-dataset, or leave out task"):
        tasks.write_task("cell", tmp_path, 1, 0)
