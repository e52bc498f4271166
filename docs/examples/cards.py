"""A benchmark: two questions about each card of draw_cards.py."""

import polars as pl

from savs.datasets import About, Benchmark, Fields, Units, accuracy, pair_metric


def parse_row(row):
    shape = row.choice("shape", ("circle", "square"))
    for label, column in (("Yes", "true"), ("No", "false")):
        yield Fields(
            id=f"{row.id}:{label}",
            label=label,
            prompt=f"Is there a {row.text(column)} {shape}? Answer with Yes or No.",
            media=(row.required_medium("picture"),),
            group=row.id,
            category=shape,
        )


def measure(predictions, classes):
    shapes = predictions.select(
        score=pl.col("correct").cast(pl.Float64), cluster="cluster", stratum="category"
    )
    return [
        pair_metric(predictions, classes),
        accuracy(predictions, classes),
        Units("accuracy, mean of the shapes", shapes, chance=0.5),
    ]


def submission(predictions):
    return dict(predictions.select("id", "prediction").iter_rows())


BENCHMARK = Benchmark(
    name="cards",
    summary="a card, a true and a false question",
    columns={
        "picture": "name of the card's image below the media root",
        "shape": "circle or square",
        "true": "the colour that it has",
        "false": "a colour that it has not",
    },
    parse_row=parse_row,
    measure=measure,
    submission=submission,
    about=About(
        task="which colour has the shape?",
        metrics=("both right", "accuracy", "accuracy, mean of the shapes"),
        sizes="train 16 cards, test 24",
        source="drawn by draw.py",
        licence="yours",
        files="python draw.py",
        sample={"picture": "cards/a.png", "shape": "circle", "true": "red", "false": "blue"},
    ),
)
