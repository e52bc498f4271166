"""A report and explanations from Python as a notebook: `marimo edit docs/notebooks/results.py`.

`STORE` and `MEDIA_ROOT` are those of `reanalysis.py`. Results are written into the store,
to `results/notebook`, and the page `report.html` to the working directory.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import os
    from pathlib import Path

    import marimo as mo
    import polars as pl

    from savs import evaluate, explain, open_store, report, save_evaluation, select


@app.cell
def _():
    mo.md(r"""
    # A report, and why heads voted so

    `report.html` shows the results, heads and errors. The table has the votes of the chosen heads
    for two wrong or unsure examples, with their nearest training examples.
    """)
    return


@app.cell
def _():
    store = open_store(os.environ.get("STORE", "savs-demo/features"))
    media_root = Path(os.environ.get("MEDIA_ROOT", store.path.parent / "data"))
    result = evaluate(store, select(store, heads=min(10, len(store.heads))))
    folder = store.path / "results" / "notebook"
    save_evaluation(result, folder)
    images = media_root if media_root.is_dir() else None
    page = report(folder, out="report.html", media_root=images, compare_heads=True)
    explain(folder, n=2, media_root=images).heads.sort("id", "rank")
    return (page,)


@app.cell
def _():
    mo.md(r"""
    ## The same from Python

    The report's parts are values: here the classes, the least accurate first, and how stable the
    choice of each head is.
    """)
    return


@app.cell
def _(page):
    pl.DataFrame(page.first.metrics["per_class"]).sort("recall", "subtask", "label")
    return


@app.cell
def _(page):
    page.across.stability.heads.sort("share", "subtask", "name", descending=[True, False, False])
    return


if __name__ == "__main__":
    app.run()
