"""Measure a classifier of images next to table columns against each alone. Prints Markdown.

    python scripts/bench_table.py

The table is the wine data of scikit-learn: 178 wines of three cultivars. Each wine is drawn in its
colour: two columns of the data are sums and ratios of absorbances, from which the light follows
that passes through a glass. The table next to it keeps five columns that no picture shows; the last
column of the output is the accuracy with the two drawn columns as numbers. Predictions are those of
left-out wines, in folds that are drawn several times; the score of a wine is the share
of the draws in which its prediction is right. Gains are paired: their interval is that of the mean
difference over wines, by Student's t.
"""

import os
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import polars as pl
from PIL import Image, ImageDraw
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import savs
from savs.foundation.arrays import Array
from savs.pipeline.statistics.intervals import student_quantile

COLUMNS = ["alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium"]
"""What the table keeps."""
DRAWN = ["color_intensity", "hue"]
"""What a picture is drawn from."""
QUESTION = "Which color is the circle?"
FOLDS, DRAWS = 5, 5


def draw(intensity: float, hue: float) -> Image.Image:
    """Return a disc in the colour of a wine in a layer of 1 mm.

    `intensity` is the sum of the absorbances at 420 nm and 520 nm in 10 mm, `hue` their ratio.
    """
    green = intensity / (1 + hue)
    shares = (0.0, green / 10, (intensity - green) / 10)  # of red light little is absorbed
    image = Image.new("RGB", (112, 112), "white")
    color = tuple(round(255 * 10**-absorbance) for absorbance in shares)
    ImageDraw.Draw(image).ellipse((26, 26, 86, 86), fill=color)
    return image


def wines() -> tuple[pl.DataFrame, Array]:
    """Return a table with a column of pictures, and the cultivars."""
    data: Any = load_wine()
    columns = dict(zip(data.feature_names, data.data.T, strict=True))
    pictures = list(map(draw, *(columns[name] for name in DRAWN)))
    table = pl.DataFrame({name: columns[name] for name in COLUMNS + DRAWN})
    return table.with_columns(pl.Series("picture", pictures, dtype=pl.Object)), data.target


def models(head: BaseEstimator) -> dict[str, BaseEstimator]:
    """Return what is compared, each with the same last step."""
    picture = ("picture", savs.SavsFeatures("demo", heads=20, question=QUESTION), "picture")
    numbers = ("numbers", "passthrough", COLUMNS)
    typed = ("typed", "passthrough", COLUMNS + DRAWN)
    inputs = {
        "picture": [picture],
        "table": [numbers],
        "both": [picture, numbers],
        "typed": [typed],
    }
    return {
        name: make_pipeline(ColumnTransformer(parts), StandardScaler(), head)
        for name, parts in inputs.items()
    }


def scores(model: BaseEstimator, table: pl.DataFrame, labels: Array) -> Array:
    """Return the share of the draws in which each left-out wine is predicted rightly."""
    right = []
    for seed in range(DRAWS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        right.append(cross_val_predict(model, table, labels, cv=folds) == labels)
    return np.mean(right, axis=0)


def gain(ours: Array, others: Array) -> str:
    """Return the mean paired difference in points, with its 95 % interval."""
    differences = 100 * (ours - others)
    reach = student_quantile(len(differences) - 1) * differences.std(ddof=1)
    reach /= np.sqrt(len(differences))
    mean = differences.mean()
    return f"{mean:+.1f} ({mean - reach:.1f} .. {mean + reach:.1f})"


def main() -> None:
    """Print the accuracies and gains."""
    table, labels = wines()
    heads = {
        "logistic regression": LogisticRegression(C=0.1, max_iter=2000),
        "gradient boosting": HistGradientBoostingClassifier(max_iter=30),
    }
    names = ("last step", "picture", "table", "both", "gain over the picture")
    print(f"| {' | '.join([*names, 'gain over the table', 'table and drawn columns'])} |")
    print(f"|{' --- |' * 7}")
    for name, head in heads.items():
        found = {key: scores(model, table, labels) for key, model in models(head).items()}
        *shares, typed = [f"{100 * value.mean():.1f}" for value in found.values()]
        gains = [gain(found["both"], found[key]) for key in ("picture", "table")]
        print(f"| {' | '.join([name, *shares, *gains, typed])} |")


if __name__ == "__main__":
    main()
