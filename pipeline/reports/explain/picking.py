"""Which examples of a result are explained, and whether they can be."""

from collections.abc import Sequence

import polars as pl

from savs.pipeline.errors import ReportError
from savs.pipeline.reports.report.evaluated import Evaluated
from savs.pipeline.reports.report.gallery import SHARE_WRONG, pick_examples
from savs.pipeline.selection.training_data import train_digest
from savs.stores import FeatureStore


def require_store(result: Evaluated) -> FeatureStore:
    """Return the store of a result, whose training examples made its selection.

    Raises
    ------
    ReportError
        The result has no heads, lies in no store, is a cross-validation, or its selection was made
        from other training examples.
    """
    if result.config is None:
        raise ReportError(
            f"{result.folder} has no heads: the model answered by itself; pass the result of a"
            " readout, such as STORE/results/vote"
        )
    if result.store is None:
        raise ReportError(
            f"{result.folder} is not in a store, whose features are needed; pass STORE/results/NAME"
        )
    if result.split != "test":
        raise ReportError(
            f"{result.folder} is a cross-validation, whose folds have heads of their own; pass the"
            " result of test examples"
        )
    if result.config.train != train_digest(result.store):
        raise ReportError(
            f"{result.folder} has a selection from other training examples than {result.store.path}"
            f" has now; run savs select {result.store.path} and savs evaluate again"
        )
    return result.store


def pick(result: Evaluated, ids: Sequence[str], *, errors: bool, n: int) -> pl.DataFrame:
    """Return the predictions of some examples: those named, or wrong and least sure ones.

    Raises
    ------
    ReportError
        A named example is unknown or was skipped, or none is wrong.
    """
    predictions = result.predictions
    if not ids:
        rows = pick_examples(predictions, n, share_wrong=1.0 if errors else SHARE_WRONG)
        rows = rows.filter(~pl.col("correct")) if errors else rows
        if not rows.height:
            raise ReportError(f"{result.folder} has no wrong example; omit --errors")
        return rows
    known = set(predictions["id"])
    if absent := [name for name in ids if name not in known]:
        raise ReportError(
            f"{result.folder} has no example {absent[0]!r}; its ids are like"
            f" {predictions['id'][0]!r}"
        )
    order = {name: place for place, name in enumerate(dict.fromkeys(ids))}
    rows = predictions.filter(pl.col("id").is_in(list(order)))
    if skipped := rows.filter(pl.col("prediction").is_null())["id"].to_list():
        raise ReportError(f"example {skipped[0]!r} was skipped at extraction; it has no features")
    return rows.sort(pl.col("id").replace_strict(order, return_dtype=pl.Int64))
