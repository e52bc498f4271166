"""Which prompt is best: the cross-validated accuracy of each, and paired differences."""

from collections.abc import Sequence

import polars as pl

from savs.datasets import Units
from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.evaluation.sweep.table import Point, Sweep, SweepScores
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.selection import select
from savs.stores import FeatureStore


def compare_prompts(
    name: str, store: FeatureStore, rules: Sequence[Readout], counts: Sequence[int], scoring: str
) -> Sweep:
    """Compare the prompts of a store by cross-validation on its training examples.

    Heads are chosen and fitted for each prompt by itself, as by `select` and `evaluate` on folds.
    The predictions are paired by example; one that was skipped under any prompt is left out for
    all. Test examples are not read.

    Raises
    ------
    SelectionError
        The store has one prompt, or a prompt for each row.
    """
    prompts = stored_prompts(store.manifest.identity.benchmark)
    if not prompts:
        raise SelectionError(
            f"{store.path} has one prompt for each example, so there is nothing to compare; run"
            " `savs extract` with --question for each prompt"
        )
    scores, notes = SweepScores(name, "prompt"), dict[str, None]()
    for rule in rules:
        for count in counts:
            selection = select(store, heads=count, readout=rule, scoring=scoring)
            evaluation = evaluate(store, selection, on="folds")
            parts, left_out = paired(evaluation.predictions, prompts)
            notes |= dict.fromkeys([*evaluation.notes, *_note(left_out)])
            chance = evaluation.units[0].chance  # the classes are the same under all prompts
            for prompt, part in parts.items():
                point = Point(name, rule.name, count, prompt=prompt)
                scores.add(point, 0, [Units("accuracy", part, chance)])
    return scores.sweep([(name, rule.name) for rule in rules], list(notes))


def paired(
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
    common = parts[prompts[0]].select("example", "cluster")
    for part in parts.values():
        common = common.join(part, on="example", how="semi", maintain_order="left")
    aligned = {
        prompt: common.join(part.drop("cluster"), on="example", maintain_order="left")
        for prompt, part in parts.items()
    }
    return aligned, scores["example"].n_unique() - common.height


def _note(left_out: int) -> list[str]:
    if not left_out:
        return []
    return [
        f"{left_out} training examples were skipped under some prompts and are left out of all;"
        " `savs show` prints the reasons"
    ]
