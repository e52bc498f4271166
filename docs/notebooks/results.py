"""A report and explanations from Python as a notebook: `marimo edit docs/notebooks/results.py`.

`STORE` and `MEDIA_ROOT` are those of `reanalysis.py`. The results and the page are temporary: the
store and the working directory stay as they are.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import os
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import marimo as mo
    import polars as pl
    import polars.selectors as cs

    from savs import evaluate, explain, open_store, report, save_evaluation, select


@app.cell
def _():
    mo.md(r"""
    # A report, and why heads voted so

    The page below has the results, heads and errors of a store; `savs report STORE --out
    report.html` writes it to a file. The table has the votes of the chosen heads for two wrong or
    unsure examples.
    """)
    return


@app.cell
def _():
    store = open_store(os.environ.get("STORE", "savs-demo/features"))
    media_root = Path(os.environ.get("MEDIA_ROOT", store.path.parent / "data"))
    images = media_root if media_root.is_dir() else None
    result = evaluate(store, select(store, heads=min(10, len(store.heads))))
    (store.path / "results").mkdir(exist_ok=True)
    # An explanation needs the store around its result.
    with TemporaryDirectory(prefix=".notebook-", dir=store.path / "results") as folder:
        save_evaluation(result, folder)
        file = Path(folder) / "report.html"
        page = report(folder, out=file, media_root=images, compare_heads=True)
        found = explain(folder, n=2, media_root=images)
        html = file.read_text("utf-8")
    mo.iframe(html, height="40rem")
    return found, page


@app.cell
def _(found):
    votes = found.heads.select("id", "prediction", "label", "name", "vote", "lead")
    votes.with_columns(cs.float().round(3))
    return


@app.cell
def _():
    mo.md(r"""
    ## The same from Python

    The report's parts are values: here its first examples as pictures, the classes, the least
    accurate first, and how stable the choice of each head is.
    """)
    return


@app.cell
def _(page):
    cards = page.gallery.cards[:6]
    shown = [(card, picture) for card in cards for picture in card.pictures[:1] if picture.jpeg]
    mo.hstack(
        [
            mo.image(
                picture.jpeg,
                width=120,
                caption=", ".join(card.shown.predictions)
                + f", labelled {', '.join(card.shown.labels)}",
            )
            for card, picture in shown
        ],
        wrap=True,
    )
    return


@app.cell
def _(page):
    classes = pl.DataFrame(page.first.metrics["per_class"]).sort("recall", "subtask", "label")
    classes.with_columns(cs.float().round(3))
    return


@app.cell
def _(page):
    stable = page.across.stability.heads
    stable = stable.sort("share", "subtask", "name", descending=[True, False, False])
    stable.with_columns(cs.float().round(3))
    return


if __name__ == "__main__":
    app.run()
