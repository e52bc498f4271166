"""Heads across tasks: overlap and rank correlation, against scipy and sets."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from reported import Page
from scipy.stats import spearmanr

from savs import evaluate, report, save_evaluation, select
from savs.pipeline.reports.report.folders import read_results
from savs.pipeline.reports.report.heads import across_part
from savs.pipeline.running.formatting import percent
from savs.stores import LayerGrid
from stores import identity, make_store, write_store


@pytest.mark.thorough
def test_overlap_and_correlation_of_every_two_tasks(evaluated, vote):
    lda = vote.with_name("lda")
    part = across_part(read_results([vote, lda]))
    assert [task.name for task in part.tasks] == [
        f"{name}: {task.subtask}"
        for name in ("vote", "lda")
        for task in select(evaluated, heads=5).tasks
    ]
    for i, a in enumerate(part.tasks):
        for j, b in enumerate(part.tasks):
            pair = part.pairs[i][j]
            if i == j:
                assert pair is None
                continue
            assert (pair.shared, pair.of) == (len(set(a.heads) & set(b.heads)), 5)
            assert pair.correlation == pytest.approx(spearmanr(a.scores, b.scores).statistic)
    assert part.more == 0


@pytest.mark.thorough
def test_heads_of_different_models_are_not_compared(vote, tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 8, 3)).astype(np.float32)
    labels = list("abababab")
    store = make_store(tmp_path / "s", values, labels, values, labels, model="another")
    save_evaluation(evaluate(store, select(store, heads=2)), tmp_path / "r")
    part = across_part(read_results([vote, tmp_path / "r"]))
    assert part.pairs[0][2] is None
    assert part.pairs[0][1] is not None


@pytest.mark.thorough
def test_heads_of_a_result_whose_store_is_gone_are_compared_without_scores(vote, tmp_path):
    alone = shutil.copytree(vote, tmp_path / "alone")
    part = across_part(read_results([vote, alone]))
    pair = part.pairs[0][2]  # of the same task
    assert (pair.shared, pair.of, pair.correlation) == (5, 5, None)


def test_answers_of_the_model_have_no_heads_to_compare(tmp_path):
    rng, labels = np.random.default_rng(0), ["a", "b"] * 10
    sums = np.array([[-0.5, -3] if label == "a" else [-3, -0.5] for label in labels], np.float32)
    grid = (LayerGrid(0, (0, 1, 2), 4),)
    of_splits = dict.fromkeys(("train", "test"))
    store = write_store(
        tmp_path / "s",
        replace(identity(grid=grid), outputs={"answers": {"a": [5, 2], "b": [5, 2]}}),
        {split: {0: rng.normal(size=(3, 20, 4)).astype(np.float32)} for split in of_splits},
        {split: [{"label": label} for label in labels] for split in of_splits},
        outputs={split: {"answers": sums} for split in of_splits},
    )
    folders = [evaluate(store, name, out=True).folder for name in ("answers", "vote")]
    part = across_part(read_results(folders))
    assert [task.name for task in part.tasks] == ["vote"]
    assert part.stability.overlap.keys() == {None}
    assert across_part(read_results(folders[:1])).stability is None


def test_the_page_tells_overlap_and_stability(vote, tmp_path):
    content = report(vote, out=tmp_path / "p.html", examples=0, compare_heads=True)
    page = Page(tmp_path / "p.html")
    shared = page.table("Part of the heads that two draws share")
    stability = content.across.stability
    assert shared.records() == [
        {
            "subtask": subtask,
            shared.header[1]: "",
            "shared": percent(share),
            "by chance": percent(stability.chance[subtask]),
        }
        for subtask, share in stability.overlap.items()
    ]
    rows = page.table("Draws that choose the head").records()
    assert [row["head"] for row in rows] == content.across.stable.frame["name"].to_list()
    matrix = page.table("Shared heads, and correlation below")
    pair = content.across.pairs[0][1]
    assert matrix.rows[0][2] == f"{pair.shared}{pair.correlation:.2f}"
