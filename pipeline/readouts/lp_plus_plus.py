"""`lp-plus-plus`: a linear probe of a dual encoder that starts from the class texts.

Source: LP++, arXiv 2404.02285. With unit image features f, class texts t_c and labels y of N
examples, the logit of class c is f . (w_c + alpha_c t_c). w and alpha minimise the cross-entropy by
block-coordinate majorisation-minimisation: a block moves by 1 / L along its gradient, L a bound of
the curvature, so that such a step makes no loss greater, and no step size is searched. The Hessian
of the cross-entropy by the logits of an example is at most 1/2, hence

    L_w = the greatest eigenvalue of sum_i f_i f_i^T / 2N
    L_alpha = max_c sum_i (f_i . t_c)^2 / 2N

w starts from the class means, times the N / classes examples of a class; each alpha from `START`
times the mean over classes of the mean of f . t_c over the class's examples. As in the authors'
code, alpha moves once in `INNER` steps of w, and these have momentum: without it, as many steps
learn less. That code also has a bias, and takes the best step by validation examples; its steps are
2 / L_w, where descent is no longer sure, and 1 / (8 L_alpha); and w starts from sums, which are
longer for larger classes. None of these is here.
"""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import class_centroids, few_threads, normalise
from savs.pipeline.readouts.clip import model_scale
from savs.pipeline.readouts.heads_fit import HeadsFit, softmax
from savs.pipeline.readouts.hec import score_by_texts
from savs.pipeline.readouts.readout import TEXTS, ClassTexts, Readout, Widths, require_examples

NAME = "lp-plus-plus"
START = 250.0
"""alpha at the start, in mean cosines."""
ROUNDS = 30
"""Steps of alpha."""
INNER = 10
"""Steps of w in a round."""
MOMENTUM = 0.9
"""Share of the step before that a step of w has, too."""


def fit(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths, texts: ClassTexts
) -> HeadsFit:
    """Fit w and alpha; a class has one direction, w_c + alpha_c t_c."""
    require_examples(labels, NAME)
    model_scale(texts, NAME)  # or it is no dual encoder
    n, count = len(labels), len(classes)
    units, names = normalise(features[0]).astype(np.float64), texts.directions[0].astype(np.float64)
    means = class_centroids(units[None], labels, count)[0].astype(np.float64)
    w = means * (n / count)
    alpha = np.full(count, START * np.vecdot(means, names).mean())
    with few_threads(units.size * count):
        likeness = units @ names.T
        step_w, step_alpha = steps(units, likeness)
        moved = np.zeros_like(w)
        for _ in range(ROUNDS):
            for _ in range(INNER):
                wrong = residuals(units @ w.T + alpha * likeness, labels)
                moved = MOMENTUM * moved - step_w * (wrong.T @ units)
                w += moved
            wrong = residuals(units @ w.T + alpha * likeness, labels)
            alpha -= step_alpha * (wrong * likeness).sum(axis=0)
    return HeadsFit.of("sum", (w + alpha[:, None] * names)[None])


def steps(units: Array, likeness: Array) -> tuple[float, float]:
    """Return 1 / L_w and 1 / L_alpha, from `(n, d)` unit features and their `(n, classes)` f . t_c.

    0 where nothing depends on a block: of features, or of products with texts, that are all 0.
    """
    curvatures = np.linalg.norm(units, 2) ** 2, np.square(likeness).sum(axis=0).max()
    step_w, step_alpha = (2 * len(units) / float(c) if c > 0 else 0.0 for c in curvatures)
    return step_w, step_alpha


def residuals(logits: Array, labels: Array) -> Array:
    """Return the gradient of the mean cross-entropy by the `(n, classes)` logits, in place."""
    wrong = softmax(logits)
    wrong[np.arange(len(labels)), labels] -= 1
    wrong /= len(labels)
    return wrong


LP_PLUS_PLUS = Readout(
    name=NAME,
    summary="a linear probe that starts from the class texts (LP++, arXiv 2404.02285)",
    fit=fit,
    score_heads=score_by_texts,
    texts=TEXTS,
)
