"""Draws of a small task with its folds, as `calibrate` makes them of a store."""

from dataclasses import dataclass

import numpy as np

from savs.pipeline.selection.calibration import Calibration, calibrate_task, typicality
from savs.pipeline.selection.heads.centroids import class_centroids
from savs.pipeline.selection.heads.folds import stratified_folds
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.readouts import ClassScores, Readout

HEADS, WIDTH, KEPT, TEST = 10, 6, 4, 40


@dataclass(frozen=True, slots=True)
class Simulated:
    """One draw of training examples and new examples of the same kind."""

    calibration: Calibration
    found: ClassScores
    """Of the new examples, by the selection of all training examples."""
    truth: np.ndarray


def simulate(rule: Readout, seed: int, classes: int, shots: int, apart: float) -> Simulated:
    """Draw a task whose class means are `apart`, select, fit, and calibrate on five folds."""
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh"[:classes])
    means = apart * rng.normal(size=(HEADS, classes, WIDTH))

    def draw(labels: np.ndarray) -> np.ndarray:
        noise = rng.normal(size=(HEADS, len(labels), WIDTH))
        return (means[:, labels] + noise).astype(np.float32)

    labels, truth = np.arange(classes * shots) % classes, rng.integers(0, classes, TEST)
    train, test = draw(labels), draw(truth)
    widths = [WIDTH] * HEADS

    def scored(
        own: np.ndarray, out: np.ndarray, kept: np.ndarray
    ) -> tuple[ClassScores, np.ndarray, np.ndarray]:
        ranked = rule.score_heads(own, labels[kept], names, widths, "resubstitution")
        best = rank_heads(ranked, [(0, n) for n in range(HEADS)])[:KEPT]
        fitted = rule.fit(own[best], labels[kept], names, widths[:KEPT])
        centroids = class_centroids(own[best], labels[kept], classes)
        seen = fitted.scores(own[best]).scores
        return fitted.scores(out[best]), typicality(out[best], centroids), seen

    folds, seen = stratified_folds(labels, min(5, shots)), []
    scores, typical = np.empty((len(labels), classes), np.float32), np.empty(len(labels))
    for fold in range(min(5, shots)):
        out = folds == fold
        found, typical[out], own = scored(train[:, ~out], train[:, out], ~out)
        scores[out] = found.scores
        seen.append(own)
    found, _, own = scored(train, test, np.ones(len(labels), bool))
    calibration = calibrate_task(scores, labels, typical, None, (np.concatenate(seen), own))
    assert calibration is not None
    return Simulated(calibration, found, truth)
