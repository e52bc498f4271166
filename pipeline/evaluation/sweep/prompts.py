"""Which prompt is best: the cross-validated accuracy of each, and paired differences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.cross_validation import cross_validate
from savs.pipeline.evaluation.statistics.intervals import estimate
from savs.pipeline.evaluation.statistics.paired_tests import holm, subtract
from savs.pipeline.evaluation.sweep.sweep import chosen_readouts
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.selection import default_heads, head_count, select
from savs.stores import FeatureStore
from savs.stores.read.given_store import require_store

PROMPTS_SCHEMA = {
    "readout": pl.String,
    "heads": pl.Int64,
    "prompt": pl.String,
    "accuracy": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "examples": pl.Int64,
    "clusters": pl.Int64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "test": pl.String,
    "p": pl.Float64,
    "p_holm": pl.Float64,
}
"""Columns of `PromptSweep.table`. `difference` is that to the first prompt, null for it; intervals
are 95 %, null where there is one cluster."""


@dataclass(frozen=True, slots=True)
class PromptSweep:
    """The prompts of a store side by side."""

    table: pl.DataFrame
    """One row a readout, number of heads and prompt; columns `PROMPTS_SCHEMA`."""
    notes: tuple[str, ...]
    """What a reader of the table must know, a sentence each."""


def sweep_prompts(
    store: FeatureStore,
    *,
    heads: Sequence[int | Literal["all"]] | None = None,
    readouts: Sequence[str | Path | Readout] = ("vote",),
    scoring: str = "resubstitution",
) -> PromptSweep:
    """Compare the prompts of a store by cross-validation on its training examples.

    Heads are chosen and fitted for each prompt by itself, as by `select` and `cross_validate`. The
    predictions are paired by example; one that was skipped under any prompt is left out for all.
    The p values of all differences are corrected together by Holm's method. Test examples are not
    read.

    Parameters
    ----------
    store
        Features of training examples under several prompts.
    heads
        Numbers of heads, or `all`; 20 by default, or all of a store that has fewer.
    readouts
        Names, Python files or objects; see `savs.pipeline.selection.readouts`.
    scoring
        How heads are scored.

    Raises
    ------
    SelectionError
        The store has one prompt, or a prompt for each row, or a readout is given twice; or as
        `select` and `cross_validate`.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    require_store(store)
    prompts = stored_prompts(store.manifest.identity.benchmark)
    if not prompts:
        raise SelectionError(
            f"{store.path} has one prompt for each example, so there is nothing to compare; run"
            " `savs extract` with --question for each prompt"
        )
    counts = {head_count(store.heads, n) for n in heads or [default_heads(store.heads)]}
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for readout in chosen_readouts(readouts):
        for count in sorted(counts):
            selection = select(store, heads=count, readout=readout, scoring=scoring)
            found = cross_validate(store, selection)
            parts, left_out = _paired(found.predictions, prompts)
            notes |= dict.fromkeys([*found.notes, *_note(left_out)])
            made = {"readout": selection.readout, "heads": len(selection.tasks[0].heads)}
            rows += [made | row for row in _rows(parts)]
    tested = [row for row in rows if "p" in row]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return PromptSweep(pl.DataFrame(rows, schema=PROMPTS_SCHEMA), tuple(notes))


def _paired(
    predictions: pl.DataFrame, prompts: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], int]:
    """Return the scores under each prompt, of the same examples in one order; and those left out.

    Clusters are those of the first prompt: two examples are together in it if they share a group or
    an image, which no prompt changes.
    """
    scores = predictions.select(
        *("subtask", "cluster"),
        example=without_prompt(predictions["id"]),
        score=pl.col("correct").cast(pl.Float64),
        stratum=pl.lit("all"),
    )
    parts = {prompt: scores.filter(pl.col("subtask") == prompt) for prompt in prompts}
    first = parts[prompts[0]]
    common = first.select("example", "cluster")
    for part in parts.values():
        common = common.join(part, on="example", how="semi", maintain_order="left")
    paired = {
        prompt: common.join(part.drop("cluster"), on="example", maintain_order="left")
        for prompt, part in parts.items()
    }
    return paired, scores["example"].n_unique() - common.height


def _rows(parts: dict[str, pl.DataFrame]) -> Iterator[dict[str, Any]]:
    """Yield one row a prompt: its accuracy, and the difference to the first."""
    first = next(iter(parts.values()))
    for number, (prompt, scores) in enumerate(parts.items()):
        found = estimate(scores)
        low, high = found.interval()
        row = {
            "prompt": prompt,
            "accuracy": found.value,
            "low": low,
            "high": high,
            "examples": scores.height,
            "clusters": found.clusters,
        }
        if number:
            apart = subtract(first, scores)
            row |= {
                "difference": apart.value,
                "difference_low": apart.low,
                "difference_high": apart.high,
                "test": apart.test.name,
                "p": apart.test.p,
            }
        yield row


def _note(left_out: int) -> list[str]:
    if not left_out:
        return []
    return [
        f"{left_out} training examples were skipped under some prompts and are left out of all;"
        " `savs show` prints the reasons"
    ]
