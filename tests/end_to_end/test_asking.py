"""From no label to a classifier: `ask`, `label`, `train`, `classify`, and one pass of the model."""

import io
import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from standalone import ask_space, running_space

import savs
from savs.datasets import SourceError
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.errors import ParameterError
from savs.pipeline.app.choosing import choose_again
from savs.pipeline.app.labelling import Labelling, Session
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.asking import (
    answer,
    has_a_name,
    level_offsets,
    media_root,
    outputs_and_folder,
)
from savs.pipeline.classifying.bundle.bundle import write_space
from savs.pipeline.classifying.models import models
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.evaluation.suggest import most_alike
from savs.pipeline.extraction.line.engine import Engine
from savs.pipeline.inputs.importing import import_features
from savs.pipeline.readouts.answers import among_classes, answer_scores, fit_next_to_heads, fitted
from savs.pipeline.reports.report.provenance import _extract
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection import asked_selection
from savs.stores import ResultError, StoreMismatchError, head_name, open_store

pytestmark = pytest.mark.thorough

QUESTION = "What color is the star?"
COLORS = ["blue", "cyan", "green", "purple", "red", "yellow"]
FAST = {"model": "demo", "workers": 0, "dtype": "float32"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return 24 images of one question, their labels by name, and a store with its own answers."""
    root = tmp_path_factory.mktemp("asked")
    files = write_shapes(root / "data", seed=5, tasks=["color"], train_per_class=2, test_units=24)
    rows = [json.loads(line) for line in files.test.read_text().splitlines()]
    (root / "photos").mkdir()
    labels, table = {}, []
    for row in rows:
        name = Path(row["images"][0]).name
        shutil.copy(files.root / row["images"][0], root / "photos" / name)
        labels[name] = row["label"]
        table.append({"id": name, "image": name, "label": row["label"]})
    source = root / "photos.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in table))
    options = {**FAST, "question": QUESTION, "answers": "labels", "media_root": root / "photos"}
    labelled = root / "train.jsonl"
    of_class = {label: name for name, label in labels.items()}
    labelled.write_text(
        "".join(
            json.dumps({"id": f"t{n}", "image": n, "label": c}) + "\n" for c, n in of_class.items()
        )
    )
    done = savs.extract("general", train=labelled, test=source, out=root / "known", **options)
    return SimpleNamespace(photos=root / "photos", labels=labels, known=done.store, root=root)


@pytest.fixture(scope="module")
def asked_once(drawn):
    """Return a folder of features that `ask` made, with its predictions."""
    store = drawn.root / "asked"
    found = savs.ask(drawn.photos, QUESTION, classes=COLORS, out=store, **FAST)
    return SimpleNamespace(store=store, found=found)


@pytest.fixture
def asked(asked_once, tmp_path):
    """Return a copy of it."""
    store = shutil.copytree(asked_once.store, tmp_path / "asked")
    return SimpleNamespace(store=store, found=asked_once.found)


@pytest.fixture
def passes(monkeypatch):
    """Return a list that counts the rows that a model runs."""
    rows: list[int] = []
    run = Engine.run
    monkeypatch.setattr(Engine, "run", lambda self, *a, **k: rows.append(1) or run(self, *a, **k))
    return rows


def votes_of(found, names) -> np.ndarray:
    """Return `(n, names)` probabilities of classes."""
    rows = [{vote["class"]: vote["score"] for vote in votes} for votes in found["votes"]]
    return np.array([[row[name] for name in names] for row in rows])


def test_answers_are_those_of_zero_shot(drawn, asked) -> None:
    known = savs.evaluate(drawn.known, "zero-shot").predictions
    classes = list(dict.fromkeys(drawn.known.examples("train")["label"]))
    same = savs.ask(drawn.photos, QUESTION, classes=classes, **FAST)
    assert same["id"].to_list() == known.sort("id")["id"].to_list()
    assert same["prediction"].to_list() == known.sort("id")["prediction"].to_list()
    # a batch of other images rounds otherwise
    assert np.allclose(same["probability"], known.sort("id")["probability"], rtol=1e-5)
    right = sum(drawn.labels[row["id"]] == row["prediction"] for row in asked.found.to_dicts())
    assert right > asked.found.height / 3  # of six classes
    assert asked.found["votes"].list.len().to_list() == [6] * 24
    sums = asked.found["votes"].list.eval(pl.element().struct.field("score")).list.sum()
    assert np.allclose(sums, 1, atol=1e-5)


def test_several_questions_read_each_image_once(drawn, monkeypatch, capsys) -> None:
    images = sorted(drawn.photos.iterdir())[:3]
    both = {QUESTION: COLORS, "Is there a circle?": ["Yes", "No"]}
    found = savs.ask(images, both, **FAST)
    assert found.height == 6
    assert set(found["subtask"]) == {*both}
    alone = savs.ask(images, QUESTION, classes=COLORS, **FAST)
    of_color = found.filter(subtask=QUESTION)
    assert of_color["prediction"].to_list() == alone["prediction"].to_list()
    assert np.allclose(of_color["probability"], alone["probability"], atol=1e-5)
    moved = savs.ask(images, both, offset=True, **FAST)
    for question, classes in both.items():
        shares = [votes_of(frame.filter(subtask=question), classes) for frame in (found, moved)]
        logits = np.log(shares[0] + 1e-30)
        assert np.allclose(shares[1], among_classes(logits - logits.mean(axis=0)), atol=1e-4)
    lines = io.TextIOWrapper(io.BytesIO("\n".join(map(str, images)).encode()))
    monkeypatch.setattr("sys.stdin", lines)
    plain = savs.ask("-", "Is there a circle?", verbose=True, **FAST)  # yes or no
    assert plain["id"].to_list() == [*map(str, images)]
    assert set(plain["prediction"]) <= {"Yes", "No"}
    assert "note: the answers are Yes and No" in capsys.readouterr().out
    with pytest.raises(SourceError, match="- names no image"):  # all lines were read
        savs.ask("-", "Is there a circle?", **FAST)
    pictures = [path.read_bytes() for path in images]
    assert savs.ask(pictures, QUESTION, classes=COLORS, **FAST)["prediction"].to_list() == (
        alone["prediction"].to_list()
    )


def test_levels_have_an_expected_level_and_an_offset_that_is_kept(drawn, tmp_path) -> None:
    levels = ["small", "medium", "large"]
    plain = savs.ask(drawn.photos, "How large is the star?", levels=levels, **FAST)
    weights = {name: number for number, name in enumerate(levels, start=1)}
    for row in plain.to_dicts():
        mean = sum(vote["score"] * weights[vote["class"]] for vote in row["votes"])
        assert row["level"] == pytest.approx(mean, abs=1e-5)
    ask = {"levels": levels, "offset": True, "out": tmp_path / "scale", **FAST}
    photos = shutil.copytree(drawn.photos, tmp_path / "photos")
    moved = savs.ask(photos, "How large is the star?", **ask)
    assert moved["level"].mean() == pytest.approx(2, abs=1e-4)
    for path in sorted(photos.iterdir())[5:]:
        path.unlink()
    again = savs.ask(photos, "How large is the star?", **ask)  # other neighbours, the same answer
    assert again.height == 5
    (line,) = _extract(open_store(tmp_path / "scale"), "SCALE")
    assert line.endswith(" --model demo --level small --level medium --level large --out SCALE")
    both = again.join(moved, on="id")
    assert both["level"].to_list() == pytest.approx(both["level_right"].to_list(), abs=1e-6)


def test_an_offset_takes_off_what_a_model_prefers_anyway(asked, drawn) -> None:
    moved = savs.ask(drawn.photos, QUESTION, classes=COLORS, out=asked.store, offset=True, **FAST)
    record = json.loads((asked.store / "results/ask.json").read_text())
    assert record["images"] == 24
    assert len(record["offsets"][""]) == 6
    shares = [votes_of(frame, COLORS) for frame in (asked.found, moved)]
    logits = np.log(shares[0] + 1e-30)
    expected = among_classes(logits - logits.mean(axis=0))  # a constant of a row changes nothing
    assert np.allclose(shares[1], expected, atol=1e-4)


def test_outputs_are_written_from_one_pass_and_nothing_foreign_is_replaced(
    drawn, tmp_path, passes
) -> None:
    out = [tmp_path / "store", tmp_path / "new.csv", tmp_path / "new.html"]
    ask = {"question": QUESTION, "classes": COLORS, **FAST}
    done = answer(drawn.photos, out=out, sort_into=tmp_path / "sorted", n=5, **ask)
    once = len(passes)
    assert done.rows == 24
    assert pl.read_csv(out[1])["prediction"].to_list() == done.predictions["prediction"].to_list()
    assert out[2].read_text(encoding="utf-8").count("<img") == 5
    copies = [path for path in (tmp_path / "sorted").rglob("*.*") if path.name[0] != "."]
    assert len(copies) == 24
    again = answer(drawn.photos, out=[out[0], out[1], tmp_path / "new.parquet"], **ask)
    assert again.rows == 0
    assert len(passes) == once
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"mine.csv exists and was not written from"):
        answer(drawn.photos, out=[tmp_path / "other", tmp_path / "mine.csv"], **ask)
    assert not (tmp_path / "other").exists()  # that is said before the model runs
    with pytest.raises(OutputError, match=r"mine.csv exists and was not written from these feat"):
        answer(drawn.photos, out=[tmp_path / "mine.csv"], **ask)
    assert (tmp_path / "mine.csv").read_text() == "mine"
    with pytest.raises(OutputError, match="has files that `sort_into` did not make"):
        answer(drawn.photos, out=out[:1], sort_into=drawn.root, **ask)
    with pytest.raises(StoreMismatchError, match="was asked for blue, cyan"):
        answer(drawn.photos, out=out[:1], **{**ask, "classes": ["red", "blue"]})


def test_more_images_are_added_and_a_damaged_one_is_skipped(drawn, tmp_path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(drawn.photos, photos)
    ask = {"question": QUESTION, "classes": COLORS, "out": [tmp_path / "store"], **FAST}
    first = sorted(photos.iterdir())
    for path in first[4:]:
        path.rename(tmp_path / path.name)
    assert answer(photos, **ask).rows == 4
    for path in first[4:6]:
        (tmp_path / path.name).rename(path)
    (photos / "broken.png").write_bytes(b"no image")
    done = answer(photos, **ask)
    assert done.rows == 3
    assert done.predictions.height == 7
    assert [name for name, _ in done.skipped] == ["broken.png"]
    assert not done.known_skips
    assert answer(photos, **ask).known_skips == {"broken.png"}
    assert not answer(photos, retry_skipped=True, **ask).known_skips
    names = [str(path) for path in first[:6]]
    listed = {**ask, "out": [tmp_path / "listed"]}
    assert answer(names[:2], **listed).rows == 2
    assert answer(names[2:], **listed).rows == 4  # a list adds to those that are there
    assert answer(names, **listed).predictions.height == 6


BAD = {
    "no question": ({"question": None}, "`question` has no text"),
    "empty": ({"question": "  "}, "`question` has no text"),
    "one class": ({"classes": ["cat"]}, "has 1, expected at least 2$"),
    "two levels": ({"classes": None, "levels": ["a", "b"]}, "two levels are classes"),
    "one level": ({"classes": None, "levels": ["a"]}, "has 1, expected at least 3$"),
    "of each": ({"question": {"a?": ["b", "c"]}}, "has its own answers; omit `classes`"),
    "levels of each": (
        {"question": {"a?": ["b", "c"]}, "classes": None, "levels": ["1", "2", "3"]},
        "has its own answers; omit `classes`, `levels`",
    ),
    "equal": ({"classes": ["Red  fox", "red fox"]}, "equal but for white space and case"),
    "the same": ({"classes": ["a", "b", "a"]}, "'a' and 'a' of 'Cat or dog\\?' are equal"),
    "both kinds": ({"levels": ["a", "b", "c"]}, "two kinds of answers"),
    "many": ({"classes": [f"c{n}" for n in range(10_001)]}, "at most 10,000 can be asked"),
    "empty class": ({"classes": ["cat", " "]}, "has an empty name"),
    "twice": ({"question": ["a?", "a?"]}, "is given twice"),
    "no model": ({"model": None}, "`model` is missing"),
    "no file of ours": ({"out": ["new.xlsx"]}, "a folder's name without a suffix"),
    "two folders": ({"out": ["a", "b"]}, "two folders"),
}


@pytest.mark.parametrize(
    ("inputs", "options", "root"),
    [
        ("photos", {}, "photos"),
        ("rows/table.csv", {}, "rows"),
        ("photos/1.png", {}, "."),
        (["photos", "rows"], {}, "."),  # several are named from here
        ("absent", {}, "."),
        ([], {}, "."),
        ([{"image": "1.png"}], {}, "."),
        ("photos", {"media_root": "rows"}, "rows"),
    ],
    ids=str,
)
def test_media_are_in_the_folder_that_is_asked_or_that_of_a_table(
    tmp_path, monkeypatch, inputs, options, root
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/1.png", "rows/table.csv"):
        Path(name).parent.mkdir()
        Path(name).touch()
    assert media_root(inputs, options) == Path(root)


def test_features_lie_next_to_one_folder_or_table(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("v1.2").mkdir()
    assert has_a_name(["v1.2"])
    assert has_a_name(["rows.csv"])
    assert not any(map(has_a_name, (["-"], ["a.png"], ["v1.2", "rows.csv"])))
    assert outputs_and_folder(["v1.2", "a.csv", "a.html"]) == (
        [Path("a.csv"), Path("a.html")],
        Path("v1.2"),
    )
    with pytest.raises(ParameterError, match="is a table, and others are named with it"):
        answer(["v1.2", "rows.csv"], question="Cat or dog?", model="demo")


@pytest.mark.parametrize("case", BAD)
def test_bad_questions_are_refused_before_anything_is_read(case, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    good = {"question": "Cat or dog?", "classes": ["cat", "dog"], "model": "demo"}
    with pytest.raises(ParameterError, match=message):
        answer("photos", **{**good, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_labels_make_a_classifier_without_another_pass(drawn, asked, passes, tmp_path) -> None:
    waiting = savs.suggest(asked.store, n=4)
    assert set(waiting.table["prediction"]) <= {*COLORS}  # it starts from the own answers
    with pytest.raises(SelectionError, match=r"pseudo-labels:0.875: how good that is, nothing"):
        savs.train(asked.store)
    by_itself = savs.select(asked.store, pseudo_labels=0.3)
    assert by_itself.pseudo_labels == 0.3
    savs.label(asked.store, drawn.labels)
    trained = savs.train(asked.store)
    assert passes == []
    assert trained.selection.readout == "answers-lda"
    images = sorted(map(str, drawn.photos.iterdir()))[:6]
    both = savs.select(asked.store, readout="answers-lda", heads=5, out=tmp_path / "both")
    assert [len(task.heads) for task in both.tasks] == [6]
    found = savs.classify(tmp_path / "both", images, workers=0).predictions
    loaded = savs.load(tmp_path / "both")
    assert loaded.predict(images).tolist() == found["prediction"].to_list()
    folds = savs.evaluate(asked.store, both, folds=3)
    assert folds.metrics[0].value > 1 / 6


def test_images_that_move_into_folders_of_classes_are_not_read_again(
    drawn, tmp_path, passes
) -> None:
    photos, store = shutil.copytree(drawn.photos, tmp_path / "photos"), tmp_path / "store"
    savs.ask(photos, QUESTION, classes=COLORS, out=store, **FAST)
    for name, label in drawn.labels.items():
        (photos / label).mkdir(exist_ok=True)
        (photos / name).rename(photos / label / name)
    passes.clear()
    said: list[str] = []
    given = {"heads": 5, "reporting": Reporting(said.append), **FAST}
    trained = savs.train(photos, question=QUESTION, out=store, **given)
    assert passes == []
    assert not [line for line in said if "labels an example" in line], "there is no example"
    assert trained.selection.readout == "answers-lda"
    assert trained.selection.examples == 24


def test_a_selection_of_answers_evaluates_as_zero_shot(drawn) -> None:
    selection = savs.select(drawn.known, readout="answers")
    found = savs.evaluate(drawn.known, selection)
    known = savs.evaluate(drawn.known, "zero-shot")
    assert found.metrics[0].value == known.metrics[0].value
    assert found.predictions["prediction"].to_list() == known.predictions["prediction"].to_list()
    with pytest.raises(ParameterError, match="reads no head of the model; omit `heads`"):
        savs.select(drawn.known, readout="answers", heads=3)


def test_a_store_without_answers_names_the_remedy(tmp_path) -> None:
    files = write_shapes(tmp_path / "d", seed=1, tasks=["color"], train_per_class=2, test_units=4)
    options = {"train": files.train, "test": files.test, "out": tmp_path / "plain", **FAST}
    store = savs.extract("shapes", **options).store
    with pytest.raises(ResultError, match="--answers labels"):
        savs.select(store, readout="answers")


def test_a_wrong_class_is_found_by_labels_and_new_ones_leave_the_answers_out(drawn, asked) -> None:
    first, *others = drawn.labels
    with pytest.raises(savs.SavsError, match="is no class; the classes are blue, cyan"):
        savs.label(asked.store, {first: "mauve"})
    savs.label(
        asked.store, {first: "mauve", others[0]: "mauve", others[1]: "red"}, new_classes=True
    )
    savs.label(asked.store, {others[2]: "red"})
    assert savs.train(asked.store).selection.readout in {"vote", "posterior", "lda"}


def test_fits_follow_the_labels() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    answers = rng.normal(size=(300, 3)) + 2.0 * np.eye(3)[labels] + [4.0, 0, 0]
    names, widths = ["a", "b", "c"], [3]
    fit = fitted(answers[None].astype(np.float32), labels, names, widths)
    plain = (answers.argmax(axis=1) == labels).mean()
    moved = (fit.scores(answers[None]).choice == labels).mean()
    assert plain < 0.5 < 0.75 < moved
    assert fit.offsets[0] - fit.offsets[1:].mean() == pytest.approx(-4 * fit.scale[0], abs=0.6)
    heads = rng.normal(size=(4, 300, 8)) + 2 * np.eye(8)[labels]
    noise = rng.normal(size=(300, 3))
    padded = np.zeros((5, 300, 8), np.float32)
    padded[:4], padded[4, :, :3] = heads, noise
    both = fit_next_to_heads(padded, labels, names, [8] * 4 + [3])
    assert both.mix[1] < 0.1  # answers of noise get no weight
    assert (both.scores(padded).choice == labels).mean() > 0.95
    told = padded.copy()
    told[:4], told[4, :, :3] = rng.normal(size=heads.shape), 5 * np.eye(3)[labels]
    assert (
        fit_next_to_heads(told, labels, names, [8] * 4 + [3]).scores(told).choice == labels
    ).all()


def test_heads_are_weighed_by_examples_that_they_have_not_seen() -> None:
    rng, labels = np.random.default_rng(3), np.arange(24) % 2
    noise = np.zeros((3, 24, 64), np.float32)
    noise[:2], noise[2, :, :2] = rng.normal(size=(2, 24, 64)), rng.normal(size=(24, 2))
    fit = fit_next_to_heads(noise, labels, ["a", "b"], [64, 64, 2])
    assert fit.mix[0] < 1  # that they separate their own examples, of fewer rows than columns


def test_ties_go_to_the_first_class_and_offsets_reach_the_middle() -> None:
    scores = answer_scores(np.float32([[-1, -1, -2]]))
    assert scores.choice.tolist() == [0]
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.2, 0.2, 0.6]]))
    moved = among_classes(logits + level_offsets(logits))
    assert float((moved @ [1, 2, 3]).mean()) == pytest.approx(2, abs=1e-6)


def test_the_command_reads_files_of_classes_and_says_what_comes_next(savs, drawn, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted(drawn.photos.iterdir())[:4]:
        shutil.copy(path, tmp_path / "photos")
    (tmp_path / "classes.txt").write_text("\n".join(COLORS) + "\n\n")
    run = partial(savs, "ask", "photos", "--model", "demo")
    done = run("--question", QUESTION, "--classes", "classes.txt", "--out", "new.csv")
    assert done.returncode == 0, done.stderr
    assert "next: savs suggest photos-savs --out next.html" in done.stderr
    assert pl.read_csv(tmp_path / "new.csv").height == 4
    assert open_store(tmp_path / "photos-savs").ids("unlabelled")
    odd = run("--question", QUESTION, "--classes", "absent.txt")
    assert odd.returncode == 2
    assert "absent.txt cannot be read" in " ".join(odd.stderr.split())
    (tmp_path / "many.txt").write_text("a class\n" * 1_000_000)
    assert run("--question", "a?", "--classes", "many.txt").returncode == 2
    (tmp_path / "asked.json").write_text(json.dumps({QUESTION: COLORS, "A circle?": ["Yes", "No"]}))
    both = run("--question", "asked.json", "--out", "both-savs", "--json")
    assert both.returncode == 0, both.stderr
    assert len(json.loads(both.stdout)["predictions"]) == 8
    (line,) = _extract(open_store(tmp_path / "both-savs"), "BOTH")
    assert line == "savs ask photos --question QUESTIONS.json --model demo --out BOTH"
    of_hub = savs("ask", "photos", "--question", "a?", "--model", "owner/name@v1", "--out", "hub")
    assert "model 'owner/name' cannot be loaded" in of_hub.stderr  # v1 is its revision


def test_a_sweep_draws_the_curve_from_no_label_on(drawn) -> None:
    readouts = ["zero-shot", "answers", "answers-fitted", "lda", "answers-lda"]
    swept = savs.sweep(drawn.known, readouts=readouts, shots=[1], draws=2, heads=[5])
    rows = swept.summary.filter(metric="accuracy").to_dicts()
    found = {row["readout"]: row for row in rows}
    assert set(found) == {*readouts}
    assert found["answers"]["mean"] == found["zero-shot"]["mean"]
    assert [found[name]["heads"] for name in ("answers", "answers-lda")] == [0, 5]
    whole = savs.select(drawn.known, readout="answers-lda", heads=5)
    value = savs.evaluate(drawn.known, whole).metrics[0].value
    assert found["answers-lda"]["mean"] == pytest.approx(value)  # a class has one example


def test_every_command_takes_a_classifier_of_answers_and_heads(drawn, asked, tmp_path) -> None:
    names, seen = [*drawn.labels], list(drawn.labels.values())
    tested = [name for n, name in enumerate(names) if seen[:n].count(seen[n]) > 1][-6:]
    savs.label(asked.store, {name: drawn.labels[name] for name in tested}, split="test")
    savs.label(asked.store, {n: label for n, label in drawn.labels.items() if n not in tested})
    trained = savs.train(asked.store, heads=5)
    (task,) = trained.selection.tasks
    assert len(task.heads) == 6
    votes = savs.query(asked.store, "SELECT name, count(*) AS n FROM votes GROUP BY name")
    assert set(votes["name"]) == {head_name(head) for head in task.heads}
    slim = tmp_path / "slim"
    savs.export(asked.store, to="store", out=slim)
    small = savs.open_store(slim)
    assert set(small.heads) == {*task.heads[:-1]}
    again = savs.load_selection(small.results["trained"].folder)
    known = savs.evaluate(asked.store, trained.selection)
    assert savs.evaluate(small, again).metrics == known.metrics
    savs.export(asked.store, to="classifier", selection="trained", out=tmp_path / "bundle")
    card = (tmp_path / "bundle/README.md").read_text()
    assert "answers-lda of 5 attention heads and the model's own answers" in card
    assert "| decoder layers needed | all |" in card
    assert "answers-lda of 5 heads" in repr(trained.selection)
    assert trained.expected.to_json()["heads"] == 5
    savs.evaluate(asked.store, out=True)
    done = savs.report(trained.folder, out=tmp_path / "page.html")
    ask, select, *_ = done.provenance.commands
    words = " ".join(f"--class {name}" for name in COLORS)
    question = f"--question '{QUESTION}'"
    assert ask == f"savs ask {drawn.photos} {question} --model demo {words} --out {asked.store}"
    assert "--heads 5 --readout answers-lda" in select
    assert len(trained.selection.top_heads) == 5
    moved = shutil.copytree(trained.folder, tmp_path / "moved" / "trained")
    assert savs.report(moved, out=tmp_path / "moved.html").heads.chosen.frame.height == 5
    assert "999999" not in (tmp_path / "moved.html").read_text()
    first = tested[0]
    page = tmp_path / "why.html"
    options = {"media_root": drawn.photos, "attention_maps": True}
    savs.explain(trained.folder, ids=[first], out=page, **options)
    text = page.read_text(encoding="utf-8")
    assert "999999" not in text
    assert "answers" in text
    workspace = Workspace(trained.folder, asked.store)
    savs.label(asked.store, {tested[-1]: drawn.labels[tested[-1]]}, split="train")
    choose_again(workspace)
    assert workspace.selection().head_count == 5  # the answers are one more, each time


def test_the_app_groups_images_that_look_alike_and_not_their_answers(drawn, asked) -> None:
    labelling = Labelling(Workspace(asked.store / "results" / "vote", asked.store))
    batch = labelling.next_batch(Session("one"), None)
    known = dict(asked.found.select("id", "prediction").iter_rows())
    assert {one.id: one.prediction for one in batch} == known
    store, rows = asked.store, [one.row for one in batch]
    alike = most_alike(savs.open_store(store), None, "unlabelled", rows, len(rows))
    of_images = {name: likeness for name, _, likeness in alike.iter_rows()}
    first, second, *_ = alike["id"]
    pair = most_alike(savs.open_store(store), None, "unlabelled", [first, second], 2)
    assert pair["likeness"][1] == pytest.approx(of_images[second])
    by_answers = asked_selection(savs.open_store(store))
    same = most_alike(savs.open_store(store), by_answers, "unlabelled", [first, second], 2)
    assert same["likeness"][1] == pytest.approx(of_images[second])
    savs.label(store, drawn.labels)
    alone = savs.select(store, readout="answers")
    savs.save_selection(alone, asked.store / "results" / "vote")
    choose_again(labelling.workspace)
    assert labelling.workspace.selection().readout == "answers"


def test_a_damaged_image_has_no_pseudo_label(drawn, tmp_path) -> None:
    photos = shutil.copytree(drawn.photos, tmp_path / "photos")
    (photos / "broken.png").write_bytes(b"no image")
    savs.ask(photos, QUESTION, classes=COLORS, out=tmp_path / "store", **FAST)
    selection = savs.select(tmp_path / "store", pseudo_labels=0)
    assert selection.examples == 24


@pytest.mark.parametrize("way", ["letters", "numbers"])
def test_letters_and_numbers_stand_for_answers_in_all_that_follows(drawn, tmp_path, way) -> None:
    texts = {"letters": "ABCDEF", "numbers": "123456"}[way]
    options = "\n".join(f"{text}. {name}" for text, name in zip(texts, COLORS, strict=True))
    prompt = (
        f"{QUESTION}\n{options}\nAnswer with the option's {way[:-1]} from the given choices"
        " directly."
    )
    plain = savs.ask(drawn.photos, prompt, classes=[*texts], **FAST)
    names = dict(zip(texts, COLORS, strict=True))
    photos, out = shutil.copytree(drawn.photos, tmp_path / "photos"), tmp_path / "store"
    ask = {"classes": COLORS, "answers": way, "out": out, **FAST}
    found = savs.ask(photos, QUESTION, **ask)
    assert found["prediction"].to_list() == [names[text] for text in plain["prediction"]]
    assert found["probability"].to_list() == plain["probability"].to_list()
    with pytest.raises(StoreMismatchError, match=f"was asked for {', '.join(texts)}; ask for the"):
        savs.ask(photos, QUESTION, **{**ask, "answers": "labels"})
    savs.label(out, drawn.labels)
    trained = savs.train(out)
    assert "answers" in trained.selection.readout
    images = sorted(map(str, photos.iterdir()))[:4]
    new = savs.classify(trained.folder, images, workers=0).predictions
    left = savs.open_store(out).in_one_split("test")
    votes = savs.evaluate(left, trained.selection).predictions.filter(
        pl.col("id").is_in([Path(name).name for name in images])
    )
    assert new["prediction"].to_list() == votes.sort("id")["prediction"].to_list()
    assert np.allclose(new["probability"], votes.sort("id")["probability"], atol=1e-5)
    read = savs.load(trained.folder).predict_proba(images)
    assert np.allclose(read.max(axis=1), new["probability"], atol=1e-4)
    with pytest.raises(SelectionError, match="was asked for letters or numbers"):
        savs.select(out, target="own-answer")


def test_letters_end_at_z_and_other_ways_are_no_way(drawn) -> None:
    many = [f"class {number}" for number in range(27)]
    with pytest.raises(ParameterError, match=r"at most 26, and .* has 27 answers"):
        answer(drawn.photos, question="a?", classes=many, answers="letters", model="demo")
    with pytest.raises(ParameterError, match="'roman', expected one of labels, letters, numbers"):
        answer(drawn.photos, question="a?", answers="roman", model="demo")


def test_a_checkpoint_shows_what_it_answers_by_each_way(drawn, passes, tmp_path) -> None:
    how = {"model": "demo", "question": QUESTION, "classes": COLORS, "dtype": "float32"}
    found = models(ask=[str(drawn.photos)], **how)
    assert len(passes) == 1  # ten images, three prompts
    assert found.height == 10
    places = [sorted(drawn.labels).index(Path(name).name) for name in found["id"]]
    assert places == [24 * number // 10 for number in range(10)]
    for way in ("labels", "letters", "numbers"):
        other = savs.ask(list(found["id"]), answers=way, **how, workers=0)
        assert found[way].to_list() == other["prediction"].to_list()
    first, broken = str(min(drawn.photos.iterdir())), tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    said: list[str] = []
    many = {"classes": [f"class {number}" for number in range(27)]}
    left = models(ask=[first, str(broken)], reporting=Reporting(said.append), **how | many)
    assert "letters" not in left.columns
    assert left["id"].to_list() == [first]  # one that cannot be read has no row
    assert [line for line in said if line.startswith(f"skipped {broken}: ")] == said[-1:]
    for wrong in ({"question": "a?"}, {"classes": ["a", "b"]}, {"against": "s", "ask": ["p"]}):
        with pytest.raises(ParameterError, match="`ask`"):
            models("demo", **wrong)
    with pytest.raises(ParameterError, match="pass one, such as demo"):
        models(ask=["photos"])


def test_images_that_wait_for_a_label_are_classified_from_their_store(
    drawn, asked, tmp_path
) -> None:
    names = [*drawn.labels]
    savs.label(asked.store, {name: drawn.labels[name] for name in names[:12]})
    selection = savs.train(asked.store).folder
    done = savs.classify(selection, asked.store)
    assert done.predictions["id"].to_list() == sorted(names[12:])
    images = [drawn.photos / name for name in sorted(names[12:])]
    by_model = savs.classify(selection, images, workers=0).predictions
    assert done.predictions["prediction"].to_list() == by_model["prediction"].to_list()
    store = savs.open_store(asked.store)
    values = store.features("unlabelled", store.heads).swapaxes(0, 1)
    grid, place = store.grid, tmp_path / "imported"
    values = values.reshape(len(values), len(grid), len(grid[0].heads), -1)
    np.save(tmp_path / "served.npy", values)
    import_features(tmp_path / "served.npy", out=place, model="demo")
    savs.select(asked.store, readout="lda", heads=8, out=tmp_path / "lda")
    notes = savs.classify(tmp_path / "lda", place).notes
    assert "the weights, processor and chat template" in notes[0]
    assert notes[1] == "the prompt of 12 of 12 examples is unknown"
    served = savs.classify(tmp_path / "lda", place).predictions["prediction"].to_list()
    assert (
        served == savs.classify(tmp_path / "lda", asked.store).predictions["prediction"].to_list()
    )
    assert savs.load(tmp_path / "lda").predict_features(values).tolist() == served


@pytest.mark.costly
def test_a_space_of_answers_and_heads_answers_as_classify_does(drawn, asked, tmp_path) -> None:
    savs.label(asked.store, drawn.labels)
    trained = savs.train(asked.store, heads=5)
    folder = write_space(asked.store, trained.folder, tmp_path / "space").path
    images = sorted(drawn.photos.iterdir())[:3]
    expected = savs.classify(folder, images, workers=0).predictions
    with running_space(folder) as address:
        for image, row in zip(images, expected.to_dicts(), strict=True):
            label, _ = ask_space(address, image)
            assert label["label"] == row["prediction"]
            first = label["confidences"][0]["confidence"]
            assert first == pytest.approx(row["probability"], abs=1e-3)
