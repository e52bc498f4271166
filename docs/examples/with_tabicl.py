"""TabICL on principal components of the chosen heads: --readout with_tabicl.py."""

from dataclasses import dataclass, field

import numpy as np
from tabicl import TabICLClassifier

from savs.pipeline.readouts import ClassScores, Readout
from savs.pipeline.readouts.linear import side_by_side

COLUMNS = 64  # principal components; fewer examples leave the last ones 0


@dataclass(frozen=True)
class Fitted:
    middle: np.ndarray  # (heads, d): mean of the training examples
    axes: np.ndarray  # (COLUMNS, heads, d)
    rows: np.ndarray  # (examples, COLUMNS)
    labels: np.ndarray  # (examples,)
    model: TabICLClassifier = field(init=False)

    def __post_init__(self):
        model = TabICLClassifier(random_state=0).fit(self.rows, self.labels)
        object.__setattr__(self, "model", model)

    def scores(self, features):  # (heads, n, d)
        centred = side_by_side(features) - self.middle.ravel()
        p = self.model.predict_proba(centred @ self.axes.reshape(COLUMNS, -1).T)
        p = p.astype(np.float32)
        return ClassScores(p, p.argmax(axis=1), p)


def fit(features, labels, classes, widths):
    rows = side_by_side(features)
    middle = rows.mean(axis=0)
    found = np.linalg.svd(rows - middle, full_matrices=False)[2][:COLUMNS]
    axes = np.zeros((COLUMNS, rows.shape[1]), np.float32)
    axes[: len(found)] = found
    heads, _, width = features.shape
    columns = (rows - middle) @ axes.T
    return Fitted(
        middle.reshape(heads, width),
        axes.reshape(COLUMNS, heads, width),
        columns,
        labels.astype(np.int64),
    )


READOUT = Readout(
    name="with-tabicl",
    summary="TabICL on principal components",
    fit=fit,
    load=Fitted,
    arrays={
        "middle": ("heads", "width"),
        "axes": (COLUMNS, "heads", "width"),
        "rows": ("examples", COLUMNS),
        "labels": ("examples",),
    },
)
