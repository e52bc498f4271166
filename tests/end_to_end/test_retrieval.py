"""NaturalBench-Retrieval's JSON Lines through the commands: does this image show this caption?"""

import json
from itertools import product

import numpy as np
import pytest
from official_files import scored, write_retrieval

from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.selection import selection as stage

pytestmark = pytest.mark.thorough

OFFICIAL = ("text score (official)", "image score (official)", "group score (official)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with train.jsonl (10 groups), test.jsonl (20 groups) and their images."""
    folder = tmp_path_factory.mktemp("retrieval")
    write_retrieval(folder, groups_count=10, part="train")
    write_retrieval(folder, groups_count=20, part="test")
    return folder


@pytest.fixture
def extract(savs, folder):
    def run(test, out):
        return savs(
            *("extract", "naturalbench-retrieval", "--train", folder / "train.jsonl"),
            *("--test", test, "--model", "demo", "--batch-size", "32", "--out", out),
        )

    return run


@pytest.fixture
def store(extract, folder):
    """Return the whole files' store; the first test that asks for it makes it."""
    if not (folder / "store").exists():
        done = extract(folder / "test.jsonl", folder / "store")
        assert done.returncode == 0, done.stderr
        assert "leak" not in done.stderr
    return folder / "store"


def groups_of(path, predictions):
    """Return group -> (caption, image) -> (label, prediction, score of Yes over No)."""
    found = {row["id"]: row for row in predictions.iter_rows(named=True)}
    groups = {}
    for number, line in enumerate(path.read_text().splitlines()):
        row, said = json.loads(line), found[f"{path.stem}:{number}"]
        soft = {vote["class"]: np.float32(vote["soft"]) for vote in said["votes"] or ()}
        score = soft["Yes"] - soft["No"] if soft else None
        pair = row["question"], row["image"]
        groups.setdefault(str(row["question_id"]), {})[pair] = (
            row["label"],
            said["prediction"],
            score,
        )
    return groups


def official(groups):
    """Return each group's scores by plain loops: right answers, then Winoground's comparisons."""
    names = ("Q-Acc", "I-Acc", "G-Acc", *OFFICIAL)
    hits = {name: [] for name in names}
    for pairs in groups.values():
        captions, images = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True))
        assert (len(captions), len(images), len(pairs)) == (2, 2, 4)
        right = {pair: label == said for pair, (label, said, _) in pairs.items()}
        hits["Q-Acc"] += [all(right[caption, image] for image in images) for caption in captions]
        hits["I-Acc"] += [all(right[caption, image] for caption in captions) for image in images]
        hits["G-Acc"].append(all(right.values()))
        text, image_side = [], []
        for (own, mine), (other, theirs) in product(pairs.items(), repeat=2):
            if mine[0] != "Yes" or theirs[0] != "No":
                continue
            wins = None not in (mine[2], theirs[2]) and bool(mine[2] > theirs[2])
            if own[1] == other[1]:
                text.append(wins)  # one image, two captions
            if own[0] == other[0]:
                image_side.append(wins)  # one caption, two images
        assert (len(text), len(image_side)) == (2, 2)
        for name, fine in zip(OFFICIAL, (text, image_side, text + image_side), strict=True):
            hits[name].append(all(fine))
    return hits


def means(hits):
    return {name: sum(found) / len(found) for name, found in hits.items()}


def test_metrics_and_their_chance(savs, store):
    assert savs("select", store).returncode == 0
    written, metrics, predictions = scored(savs, store)
    assert list(metrics) == ["accuracy", "Q-Acc", "I-Acc", "G-Acc", *OFFICIAL]
    chances = [0.5, 0.25, 0.25, 0.0625, 0.25, 0.25, 1 / 6]
    assert [m["chance"] for m in metrics.values()] == pytest.approx(chances)
    assert [m["units"] for m in metrics.values()] == [80, 40, 40, 20, 20, 20, 20]
    for name in ("G-Acc", *OFFICIAL):
        assert metrics[name]["value"] >= 0.7
        assert metrics[name]["clusters"] == 20
    assert (written["planned"], written["skipped"], written["notes"]) == (80, 0, [])
    assert predictions["group"].to_list() == [str(g + 1) for g in range(20) for _ in range(4)]
    assert predictions["leak"].null_count() == 80
    assert not list(store.rglob("submission.json"))


@pytest.mark.parametrize(("name", "first"), [("best", 0), ("weak", 20)])
def test_scores_equal_plain_loops(savs, store, folder, tmp_path, monkeypatch, name, first):
    """Weak heads make groups that are partly right, which good ones hardly do."""
    monkeypatch.setattr(stage, "rank_heads", lambda *scores: rank_heads(*scores)[first:])
    assert savs("select", store, "--heads", "3", "--out", tmp_path / name).returncode == 0
    _, metrics, predictions = scored(savs, store, "--selection", tmp_path / name)
    expected = means(official(groups_of(folder / "test.jsonl", predictions)))
    assert {k: metrics[k]["value"] for k in expected} == pytest.approx(expected, rel=1e-12)
    if name == "weak":
        assert 0.3 < predictions["correct"].mean() < 1


def test_a_skipped_pair_and_equal_images_fail_their_groups(savs, extract, tmp_path):
    path = write_retrieval(tmp_path / "few", groups_count=4, seed=3)
    first, second = (path.parent / f"images/test_00001_{i}.png" for i in range(2))
    second.write_bytes(first.read_bytes())  # group 2: equal images have equal scores
    (path.parent / "images/test_00002_1.png").write_bytes(b"no picture")  # group 3
    done = extract(path, tmp_path / "store")
    assert done.returncode == 4, done.stderr
    assert "\n2 examples were skipped" in done.stderr
    written, metrics, predictions = scored(savs, tmp_path / "store")
    assert (written["planned"], written["scored"], written["skipped"]) == (16, 14, 2)
    hits = official(groups_of(path, predictions))
    expected = means(hits)
    assert {k: metrics[k]["value"] for k in expected} == pytest.approx(expected, rel=1e-12)
    for name in ("G-Acc", *OFFICIAL):
        assert metrics[name]["units"] == 4
        assert hits[name][1:3] == [False, False]
    assert hits["group score (official)"][0] or hits["group score (official)"][3]
