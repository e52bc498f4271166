"""Features without a model: a store, or an array, is classified by what was learned elsewhere."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.stored_features import is_store
from savs.pipeline.errors import ImportFileError, OutputError, SelectionError
from savs.pipeline.inputs.importing import import_features

SHAPE = (3, 4, 8)


def features(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return `(n, layers, heads, width)` features of which some tell two classes apart."""
    values = np.random.default_rng(seed).normal(size=(len(labels), *SHAPE)).astype(np.float32)
    values[:, 1, 2, 0] += 3 * labels
    values[:, 2, :, 1] += 2 * labels[:, None]
    return values


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Return a folder with a trained store `pets`, and 30 new rows in a file without labels."""
    root = tmp_path_factory.mktemp("stored")
    labels = np.arange(40) % 2
    np.save(root / "train.npy", features(labels, 0))
    np.save(root / "new.npy", features(np.arange(30) % 2, 1))
    table = pl.DataFrame({"label": np.where(labels, "cat", "dog"), "split": ["train"] * 40})
    table.write_csv(root / "train.csv")
    import_features(root / "train.npy", root / "train.csv", out=root / "pets", model="served")
    savs.train(root / "pets", heads=6)
    import_features(root / "new.npy", out=root / "new", model="served")
    return root


def test_rows_without_labels_have_the_predictions_that_labelled_ones_have(pets, tmp_path) -> None:
    done = savs.classify(pets / "pets", pets / "new", risk=0.1)
    rows = pl.DataFrame(
        {"id": [f"new:{n}" for n in range(30)], "label": ["dog", "cat"] * 15, "split": "test"}
    )
    rows.write_csv(tmp_path / "rows.csv")
    import_features(pets / "new.npy", tmp_path / "rows.csv", out=tmp_path / "known", model="served")
    known = savs.evaluate(
        tmp_path / "known", savs.load_selection(pets / "pets/results/trained"), risk=0.1
    )
    assert known.metrics[0].value > 0.9
    assert "the store has no training examples, so leaks were not looked for" in known.notes
    found = done.predictions.sort("id")
    expected = known.predictions.sort("id")
    for name in ("prediction", "probability", "typicality", "unsure"):
        assert found[name].to_list() == expected[name].to_list()
    tested = savs.classify(pets / "pets", tmp_path / "known")  # all have labels: the test examples
    assert tested.predictions.sort("id")["prediction"].to_list() == found["prediction"].to_list()


def test_an_array_has_the_predictions_of_its_store(pets) -> None:
    values = np.load(pets / "new.npy")
    loaded = savs.load(pets / "pets")
    known = savs.classify(pets / "pets", pets / "new").predictions["prediction"].to_list()
    assert loaded.predict_features(values).tolist() == known
    assert loaded.predict_features(values.reshape(30, -1)).tolist() == known
    for wrong in (values[:, :2], values[0, 0, 0]):
        with pytest.raises(ParameterError, match=r"expected \(n, 96\): all heads side by side"):
            loaded.predict_features(wrong)
    values[3, 0, 0, 0] = np.nan
    with pytest.raises(ParameterError, match="row 3 are not finite"):
        loaded.predict_features(values)
    with pytest.raises(SelectionError, match="import new ones with `model` served"):
        loaded.predict([b"no image"])


def test_outputs_are_written_once_and_replaced_by_force_alone(pets, tmp_path) -> None:
    out = [tmp_path / "new.csv", tmp_path / "new.html", tmp_path / "new.parquet"]
    done = savs.classify(pets / "pets", pets / "new", out=out)
    assert done.rows == 0
    assert list(done.outs.values()) == [30] * 3
    assert pl.read_csv(out[0])["prediction"].to_list() == done.predictions["prediction"].to_list()
    page = out[1].read_text(encoding="utf-8")
    assert "30 predictions" in page
    assert "<h1>new</h1>" in page
    with pytest.raises(OutputError, match=r"new.csv exists; pass another `out`, or `force`"):
        savs.classify(pets / "pets", pets / "new", out=out)
    savs.classify(pets / "pets", pets / "new", out=out, force=True)


def test_a_page_of_a_store_shows_the_images_of_a_folder(pets, tmp_path) -> None:
    Image.new("RGB", (28, 28), (40, 9, 9)).save(tmp_path / "a.png")
    pl.DataFrame({"image": ["a.png"] * 30}).write_csv(tmp_path / "rows.csv")
    given = (pets / "new.npy", tmp_path / "rows.csv")
    import_features(*given, out=tmp_path / "new", model="served", media_root=tmp_path)
    for root, count in ((tmp_path, 30), (None, 0)):
        savs.classify(pets / "pets", tmp_path / "new", out=tmp_path / "p.html", media_root=root)
        assert (tmp_path / "p.html").read_text(encoding="utf-8").count("<img") == count
        (tmp_path / "p.html").unlink()


def test_another_prompt_is_refused_or_noted(pets, tmp_path, capsys) -> None:
    whole = savs.load_selection(pets / "pets/results/trained")
    asked = replace(whole, tasks=(replace(whole.only_task(), question="Which?"),))
    saved = savs.save_selection(asked, tmp_path / "asked")
    pl.DataFrame({"question": ["Which one?"] + [""] * 29}).write_csv(tmp_path / "rows.csv")
    import_features(pets / "new.npy", tmp_path / "rows.csv", out=tmp_path / "new", model="served")
    with pytest.raises(SelectionError, match="Which one"):
        savs.classify(saved, tmp_path / "new")
    done = savs.classify(saved, tmp_path / "new", allow_other_prompt=True, verbose=True)
    assert [f"note: {note}" for note in done.notes] == capsys.readouterr().out.splitlines()
    assert "Which one" in done.notes[0]
    assert done.notes[1:] == ("the prompt of 29 of 30 examples is unknown",)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("question", "Which?"), ("model", "demo"), ("sort_into", "sorted")),
        *(("retry_skipped", True), ("engine", "vllm"), ("adapter", "lora")),
        *(("revision", "v1"), ("dtype", "float16")),
    ],
)
def test_what_is_about_images_is_refused(pets, option, value) -> None:
    with pytest.raises(ParameterError, match=f"`{option}` is about images"):
        savs.classify(pets / "pets", pets / "new", **{option: value})


def test_gpus_and_an_absent_folder_of_images_are_wrong_arguments(pets, savs) -> None:
    names = (str(pets / "pets"), str(pets / "new"))
    for words, message in (
        (("--gpus", "cpu,cpu"), "--gpus is about images, and a store has features"),
        (("--media-root", "absent"), "--media-root is 'absent', which is not a folder"),
    ):
        done = savs("classify", *names, *words)
        said = " ".join(done.stderr.replace("│", " ").split())
        assert (done.returncode, message in said) == (2, True)
    assert json.loads(savs("classify", *names, "--json").stdout)["rows"] == 0


def test_another_model_or_grid_is_refused_and_training_rows_alone_too(pets, tmp_path) -> None:
    import_features(pets / "new.npy", out=tmp_path / "other")
    with pytest.raises(SelectionError, match=r"model 'served', and .* import with `model` serve"):
        savs.classify(pets / "pets", tmp_path / "other")
    np.save(tmp_path / "slim.npy", np.load(pets / "new.npy")[:, :1])
    import_features(tmp_path / "slim.npy", out=tmp_path / "slim", model="served")
    with pytest.raises(SelectionError, match=r"of the classifier has 8 values, and .* not there"):
        savs.classify(pets / "pets", tmp_path / "slim")
    with pytest.raises(SelectionError, match="neither unlabelled nor test examples"):
        savs.classify(pets / "pets", pets / "pets")
    assert not is_store(["absent"])
    with pytest.raises(ParameterError, match="is a store, which is classified alone"):
        savs.classify(pets / "pets", [pets / "new", "more.jpg"])
    with pytest.raises(ImportFileError, match="expected train or test or unlabelled or classes"):
        import_features(pets / "new.npy", out=tmp_path / "s", split="valid")


@pytest.mark.thorough
def test_neither_torch_nor_transformers_is_needed(pets) -> None:
    code = (
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import numpy, savs\n"
        "found = savs.classify('pets', 'new').predictions['prediction'].to_list()\n"
        "array = savs.load('pets').predict_features(numpy.load('new.npy')).tolist()\n"
        "assert found == array, found\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pets, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_neurons_are_read_of_stores_and_arrays(pets, tmp_path) -> None:
    savs.select(pets / "pets", readout="neurons", heads=7, out=tmp_path / "neurons")
    found = savs.classify(tmp_path / "neurons", pets / "new").predictions["prediction"].to_list()
    array = savs.load(tmp_path / "neurons").predict_features(np.load(pets / "new.npy"))
    assert array.tolist() == found
    assert sum(a == b for a, b in zip(found, ["dog", "cat"] * 15, strict=True)) > 20


def test_numbers_many_labels_and_subtasks_are_predicted_of_features(pets, tmp_path) -> None:
    values = np.load(pets / "train.npy")
    size, tall = values[:, 1, 1, 0], values[:, 0, 0, 0] > 0
    many = [
        [name for name, there in zip("ab", row, strict=True) if there]
        for row in zip(tall, ~tall, strict=True)
    ]
    for name, labels, task in (
        ("numbers", size.round(3).tolist(), "regression"),
        ("many", many, "many-labels"),
    ):
        rows = [{"label": label, "split": "train"} for label in labels]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = (pets / "train.npy", tmp_path / f"{name}.jsonl")
        import_features(*given, out=tmp_path / name, model="served", task=task)
        savs.train(tmp_path / name, heads=1)
    new = np.load(pets / "new.npy")
    found = savs.classify(tmp_path / "numbers", pets / "new").predictions["value"].to_numpy()
    assert np.corrcoef(found, new[:, 1, 1, 0])[0, 1] > 0.5
    array = savs.load(tmp_path / "numbers").predict_features(new)
    assert array.tolist() == pytest.approx(found.tolist(), abs=1e-4)
    labels = savs.classify(tmp_path / "many", pets / "new").predictions["labels"].to_list()
    matrix = savs.load(tmp_path / "many").predict_features(new)
    assert [[name in row for name in "ab"] for row in labels] == (matrix == 1).tolist()
    both = [
        {"id": f"{task}{n}", "label": "ab"[int(is_tall)], "split": "train", "subtask": task}
        for task in ("p", "q")
        for n, is_tall in enumerate(tall)
    ]
    (tmp_path / "both.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both))
    np.save(tmp_path / "both.npy", np.concatenate([values, values]))
    given = (tmp_path / "both.npy", tmp_path / "both.jsonl")
    import_features(*given, out=tmp_path / "both", model="served")
    savs.select(tmp_path / "both", heads=3, out=True)
    with pytest.raises(ParameterError, match="the classifier has p, q; pass one as `subtask`"):
        savs.classify(tmp_path / "both", pets / "new")
    with pytest.raises(ParameterError, match="`subtask` is 'z', expected p, q"):
        savs.classify(tmp_path / "both", pets / "new", subtask="z")
    of_task = {
        name: savs.classify(tmp_path / "both", pets / "new", subtask=name).predictions
        for name in "pq"
    }
    rows = [{"id": f"new:{n}", "subtask": "pq"[n % 2]} for n in range(30)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = (pets / "new.npy", tmp_path / "asked.jsonl")
    import_features(*given, out=tmp_path / "asked", model="served")
    found = savs.classify(tmp_path / "both", tmp_path / "asked").predictions
    for name, alone in of_task.items():
        own = alone.join(found.filter(subtask=name), on="id", how="semi", maintain_order="left")
        assert found.filter(subtask=name)["votes"].to_list() == own["votes"].to_list()
    with pytest.raises(ParameterError, match="`subtask` is for examples without one; omit it"):
        savs.classify(tmp_path / "both", tmp_path / "asked", subtask="p")
    both = savs.load_selection(tmp_path / "both/results/vote")
    alone = savs.save_selection(replace(both, tasks=both.tasks[1:]), tmp_path / "q")
    only = savs.classify(alone, pets / "new").predictions
    assert only["votes"].to_list() == of_task["q"]["votes"].to_list()
    with pytest.raises(SelectionError, match="have the subtask 'p', and the classifier has q"):
        savs.classify(alone, tmp_path / "asked")
