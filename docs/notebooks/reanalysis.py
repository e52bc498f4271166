"""The recipes of docs/guide/polars.md as a notebook: `marimo edit docs/notebooks/reanalysis.py`.

Set `STORE` to the path of any store (default: `savs-demo/features`), and `MEDIA_ROOT` to
the folder of its images (default: `data` next to the store, where `savs demo` writes them).
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import os
    from pathlib import Path

    import marimo as mo
    import numpy as np
    import polars as pl
    from PIL import Image

    from savs import evaluate, open_store, select
    from savs.pipeline.selection.heads_table import heads_frame


@app.cell
def _():
    mo.md(r"""
    # Analyse stored features

    The table has one row per example and one column per head. `collect` reads only the columns
    and heads in the query.
    """)
    return


@app.cell
def _():
    store = open_store(os.environ.get("STORE", "savs-demo/features"))
    media_root = Path(os.environ.get("MEDIA_ROOT", store.path.parent / "data"))
    table = store.scan()
    counts = table.group_by("split", "subtask").agg(pl.len().alias("examples"))
    counts.sort("split", "subtask").collect()
    return media_root, store, table


@app.cell
def _():
    mo.md(r"""
    ## Votes

    The ten best heads of each subtask, best first.
    """)
    return


@app.cell
def _(store):
    selection = select(store, heads=min(10, len(store.heads)))
    predictions = evaluate(store, selection).predictions
    chosen = pl.DataFrame(
        [
            {"subtask": task.subtask or "", "name": f"L{layer}.H{head}", "place": place}
            for task in selection.tasks
            for place, (layer, head) in enumerate(task.heads, start=1)
        ]
    )
    chosen.group_by("subtask", maintain_order=True).agg(heads=pl.col("name").str.join(" "))
    return chosen, predictions, selection


@app.cell
def _(selection):
    tasks = {task.subtask or "all": task for task in selection.tasks}
    subtask = mo.ui.dropdown(list(tasks), value=list(tasks)[-1])
    mo.md(f"Subtask of the next tables: {subtask}")
    return subtask, tasks


@app.cell
def _(subtask, tasks):
    task = tasks[subtask.value]
    of_task = pl.col("subtask").eq_missing(pl.lit(task.subtask, dtype=pl.String))
    best = "L{}.H{}".format(*task.heads[0])
    return best, of_task, task


@app.cell
def _():
    mo.md(r"""
    ### Which heads agree with each other

    The share of test examples for which both heads vote for the same class.
    """)
    return


@app.cell
def _(of_task, store, task):
    votes = heads_frame(store, task.heads).filter(of_task).select("id", "name", "vote").collect()
    (
        votes.join(votes, on="id", suffix="_other")
        .filter(pl.col("name") < pl.col("name_other"))
        .group_by("name", "name_other")
        .agg(agree=(pl.col("vote") == pl.col("vote_other")).mean())
        .sort("agree", "name", "name_other", descending=[True, False, False])
    )
    return


@app.cell
def _():
    mo.md(r"""
    ### Accuracy of the best head for each class
    """)
    return


@app.cell
def _(of_task, store, task):
    (
        heads_frame(store, task.heads[:1])
        .filter(of_task)
        .group_by("label")
        .agg(examples=pl.len(), accuracy=pl.col("correct").mean())
        .sort("label")
        .collect()
    )
    return


@app.cell
def _():
    mo.md(r"""
    ### Heads that two subtasks share
    """)
    return


@app.cell
def _(chosen):
    (
        chosen.join(chosen, on="name", suffix="_other")
        .filter(pl.col("subtask") < pl.col("subtask_other"))
        .group_by("subtask", "subtask_other")
        .agg(pl.len().alias("heads"), pl.col("name").sort())
        .sort("heads", "subtask", "subtask_other", descending=[True, False, False])
    )
    return


@app.cell
def _():
    mo.md(r"""
    ## Mistakes

    Which class is predicted instead of which label, with a prompt and three ids as examples.
    """)
    return


@app.cell
def _(predictions, store):
    seen = predictions.join(
        store.examples("test").select("id", "prompt", "media"), on="id", maintain_order="left"
    )
    (
        seen.filter(~pl.col("correct"))
        .group_by("subtask", "label", "prediction")
        .agg(pl.len().alias("mistakes"), pl.col("prompt").first(), pl.col("id").head(3))
        .sort("mistakes", "subtask", "label", "prediction", descending=[True, False, False, False])
    )
    return (seen,)


@app.cell
def _():
    mo.md(r"""
    ### Accuracy by image size

    The size of the first image of each example, as stored on disk; null where it is not there.
    """)
    return


@app.cell
def _(media_root, seen):
    def size(name: str) -> str | None:
        try:
            with Image.open(media_root / name) as image:
                return f"{image.width} x {image.height}"
        except OSError:
            return None

    first = pl.col("media").list.first()
    (
        seen.with_columns(size=first.map_elements(size, return_dtype=pl.String))
        .group_by("size")
        .agg(examples=pl.len(), accuracy=pl.col("correct").mean())
        .sort("size")
    )
    return


@app.cell
def _():
    mo.md(r"""
    ### Accuracy by prompt length

    Check the subtasks first. If a length occurs in one subtask only, the difference is due to the
    subtask.
    """)
    return


@app.cell
def _(seen):
    (
        seen.group_by(words=pl.col("prompt").str.count_matches(r"\S+"))
        .agg(
            pl.len().alias("examples"), pl.col("correct").mean(), pl.col("subtask").unique().sort()
        )
        .sort("words")
    )
    return


@app.cell
def _():
    mo.md(r"""
    ## Nearest training examples of the first test example, for the best head
    """)
    return


@app.cell
def _(best, of_task, table):
    rows = table.filter(of_task).select("id", "split", "label", best).collect()
    train, test = (rows.filter(pl.col("split") == split) for split in ("train", "test"))
    query, vectors = test[best][0].to_numpy(), train[best].to_numpy()  # (d,), (n, d)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosines = pl.Series("cosine", vectors @ query / lengths)
    train.select("id", "label", cosines).top_k(5, by="cosine")
    return


@app.cell
def _():
    mo.md(r"""
    ## SQL

    The tables have the same names as in `savs query`. This query ranks the chosen heads of the
    subtask by accuracy.
    """)
    return


@app.cell
def _(of_task, predictions, store, table, task):
    context = pl.SQLContext(
        examples=table,
        predictions=predictions.lazy(),
        votes=heads_frame(store, task.heads).filter(of_task),
    )
    context.execute(
        "SELECT name, AVG(correct) AS accuracy FROM votes"
        " GROUP BY name ORDER BY accuracy DESC, name",
        eager=True,
    )
    return


@app.cell
def _():
    mo.md(r"""
    ## Export twenty heads to Parquet

    Write the heads that most subtasks selected to `heads.parquet` in the working directory.
    """)
    return


@app.cell
def _(chosen, table):
    by_use = chosen.group_by("name").len().sort("len", "name", descending=[True, False])
    columns = ["id", "split", "subtask", "label", *by_use["name"].head(20)]
    table.select(columns).sink_parquet("heads.parquet")
    pl.scan_parquet("heads.parquet").head(3).collect()
    return


if __name__ == "__main__":
    app.run()
