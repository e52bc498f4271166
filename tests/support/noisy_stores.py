"""Stores of three noisy classes, of two models, with the same examples."""

import numpy as np

from stores import make_store

TRAIN, TEST = list("abc") * 5, list("abcab") * 4


def noisy(labels, seed, heads=4, pull=1.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(heads, 3, 5))
    places = ["abc".index(label) for label in labels]
    return (pull * centres[:, places] + rng.normal(size=(heads, len(labels), 5))).astype("f4")


def other(folder, order=range(15), **given):
    """Return a store of another model; its training examples are some of the first one's."""
    labels = [TRAIN[i] for i in order]
    return make_store(
        *(folder, noisy(TRAIN, 2, pull=2.0)[:, list(order)], labels, noisy(TEST, 3), TEST),
        train_rows=[{"id": f"train:{i}"} for i in order],
        model="other",
        **given,
    )


def accuracy(values, **point):
    """Return the accuracies of a sweep at some points, draw by draw."""
    rows = values.filter(metric="accuracy", **point)
    return rows.sort("shots", "draw", nulls_last=True)["value"].to_list()
