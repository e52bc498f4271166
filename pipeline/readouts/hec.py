"""`hec-t`: each head compares the image with the classes as texts; `hec-vt`: that, and `lda`.

Source: HEC-T and HEC-VT, arXiv 2603.24181. With unit features x and class texts t_c of a head, the
logit of class c is -|x - t_c|^2 / 2; `hec-t` ranks heads by the mean probability of the right class
and averages probabilities over heads. `hec-vt` adds those of `lda`, weighted. Each of the two has
its own heads, those that it ranks best, so that a head may serve one or both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE, few_threads, normalise
from savs.pipeline.heads.folds import best_setting
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts import lda
from savs.pipeline.readouts.heads_fit import HeadsFit, softmax
from savs.pipeline.readouts.readout import TEXTS, ClassTexts, Readout, Widths, require_examples

ALPHAS = (1.0, 0.25, 0.5, 2.0, 4.0)
"""Weights of `lda` that cross-validation chooses from; of equals the first."""


def fit_texts(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> HeadsFit:
    """Take the class texts; training examples only chose the heads.

    |x|^2 is the same for all classes, so that a logit is x . t_c - |t_c|^2 / 2.
    """
    halves = np.square(texts.directions).sum(axis=2) / 2
    return HeadsFit.of("mean", texts.directions, -halves, slack=TIE)


def score_by_texts(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    scoring: str,
    texts: ClassTexts,
) -> HeadScores:
    """Score heads by the sum of the probabilities that they give to the right classes.

    Margins are of logits, as of `lda`. Nothing is fitted to the examples, so that every scoring is
    the same.
    """
    score, margin = np.zeros((2, len(features)))
    for head, (true, leads) in enumerate(_of_right_classes(features, labels, texts.directions)):
        score[head], margin[head] = true.sum(), leads.mean() if len(leads) else 0.0
    return HeadScores(score, margin)


def _of_right_classes(
    features: Array, labels: Array, directions: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield, head by head, p of the right class, and by how much its logit leads, `(n,)` each."""
    rows = np.arange(len(labels))
    for images, texts in zip(features, directions, strict=True):
        with few_threads(images.size * len(texts)):
            logits = normalise(images) @ texts.T
        logits = (logits - np.square(texts).sum(axis=1) / 2).astype(np.float64)
        own_logits = logits[rows, labels]
        logits[rows, labels] = -np.inf
        leads = own_logits - logits.max(axis=1)
        logits[rows, labels] = own_logits
        yield softmax(logits)[rows, labels], leads


HEC_T = Readout(
    name="hec-t",
    summary="mean over heads of nearness to the classes as texts (HEC-T, arXiv 2603.24181)",
    fit=fit_texts,
    score_heads=score_by_texts,
    texts=TEXTS,
    learns=False,
)


def fit_both(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    texts: ClassTexts,
    members: Array | None = None,
) -> HeadsFit:
    """Fit each head's discriminant, and take its class texts: two rows a head.

    `members` are `(heads, 2)` flags of the heads of `hec-t` and of `lda`, by default all of both.
    """
    require_examples(labels, "hec-vt")
    by_text = fit_texts(features, labels, classes, widths, texts)
    by_vision = lda.fit(features, labels, classes, widths)
    pairs = [
        np.stack([getattr(part, name) for part in (by_text, by_vision)], axis=1)
        for name in ("directions", "offsets", "weights", "ties")
    ]
    both = HeadsFit("mean", *(pair.reshape(-1, *pair.shape[2:]) for pair in pairs))
    if members is None:
        return both
    return replace(both, weights=both.weights * members.reshape(-1, 1))


def _weighted(both: HeadsFit, alpha: float) -> HeadsFit:
    """Weigh the probabilities of the discriminants."""
    weights = both.weights.copy()
    weights[1::2] *= alpha
    return replace(both, weights=weights)


def fit_both_tuned(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    texts: ClassTexts,
    members: Array | None = None,
) -> HeadsFit:
    """Fit, with the weight of `lda` that classifies left-out training examples best."""

    def choices(train: Array, out: Array) -> Array:
        part = fit_both(features[:, train], labels[train], classes, widths, texts, members)
        return np.stack([_weighted(part, a).scores(features[:, out]).choice for a in ALPHAS])

    fitted = fit_both(features, labels, classes, widths, texts, members)
    return _weighted(fitted, ALPHAS[best_setting(labels, len(ALPHAS), choices)])


def score_by_both(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    scoring: str,
    texts: ClassTexts,
) -> HeadScores:
    """Score heads by the sum of both probabilities of the right classes, and by each of them."""
    require_examples(labels, "hec-vt")
    by_text = score_by_texts(features, labels, classes, widths, scoring, texts)
    by_vision = lda.score_heads(features, labels, classes, widths, scoring)
    margin = (by_text.margin + by_vision.margin) / 2
    return HeadScores(by_text.score + by_vision.score, margin, sets=(by_text, by_vision))


HEC_VT = Readout(
    name="hec-vt",
    summary="hec-t and lda together, each on its own heads (HEC-VT, arXiv 2603.24181)",
    fit=fit_both,
    parts=2,
    score_heads=score_by_both,
    texts=TEXTS,
)
HEC_VT_CV = replace(
    HEC_VT,
    name="hec-vt-cv",
    summary="the same, lda's weight chosen by cross-validation on the training examples",
    fit=fit_both_tuned,
)
