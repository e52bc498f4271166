"""What a store holds, and how far its extraction is: read without features."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.evaluation.results import Results
from savs.pipeline.names import shows_defaults
from savs.pipeline.running.option_texts import STORE_OR_RESULT
from savs.pipeline.running.options import Option
from savs.pipeline.selection.head_map import head_map as all_heads
from savs.pipeline.targets import Target, target_of
from savs.stores import FeatureStore
from savs.stores.files.addresses import is_remote, is_writable
from savs.stores.maintain.progress import StoreProgress, store_progress
from savs.stores.read.store import AnyStore, as_store


@dataclass(frozen=True, slots=True)
class Overview:
    """What a store holds."""

    store: FeatureStore
    classes: Sequence[dict[str, Any]]
    """Number of examples, and of skipped ones, of each split, subtask and class."""
    skipped: Sequence[dict[str, Any]]
    """Split, id and reason of each example that could not be read."""
    older: Sequence[str]
    """Results whose classifier was made before training examples or labels came."""
    progress: StoreProgress | None
    """How far a running extraction is; None for a store that cannot be written."""
    heads: pl.DataFrame | None
    """All heads with their scores, see `head_map`; None if not asked for."""
    target: Target

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        if self.heads is not None:
            return {"path": str(self.store.path), "heads": self.heads.to_dicts()}
        facts = self.store.facts | {"classes": self.classes, "skipped": self.skipped}
        facts["older_results"] = self.older
        return facts if self.progress is None else facts | {"progress": self.progress.to_json()}


@shows_defaults
def show(
    store: Annotated[AnyStore, STORE_OR_RESULT],
    *,
    head_map: bool = False,
    selection: Annotated[str | Path | None, Option(level="python")] = None,
    subtask: Annotated[str | None, Option(level="python")] = None,
) -> Overview:
    """Say what a store holds.

    Parameters
    ----------
    store
        Feature store: a folder or a URL (https://), or a result in it, such as STORE/results/vote.
    head_map
        Draw the scores of all heads, and the chosen ones, instead.

        The training features are read.
    selection
        Selection to use: a name in STORE/results, or a folder (default: trained,
        `DEFAULT_READOUT`, or the only one).
    subtask
        Only this subtask, or this prompt of several.
    """
    if not head_map and (selection is not None or subtask is not None):
        name = "subtask" if selection is None else "selection"
        raise ParameterError(f"`{name}` needs `head_map`; add it")
    opened = as_store(store)
    target, heads = target_of(opened.benchmark), None
    if head_map:
        if selection is None and is_remote(opened.path):
            raise ParameterError(f"{opened.path} holds no results; pass `selection` DIR")
        chosen = Results(opened.path).find(selection).selection()
        heads, target = _of_subtask(all_heads(opened, chosen), subtask), chosen.target
    finished = [split for split in opened.splits if opened.present(split)]
    return Overview(
        store=opened,
        classes=_counts(opened, finished),
        skipped=[
            row
            for split in finished
            for row in opened.skipped(split).select("split", "id", "reason").to_dicts()
        ],
        older=_older(opened),
        progress=store_progress(opened.path, opened.manifest) if is_writable(opened.path) else None,
        heads=heads,
        target=target,
    )


def _of_subtask(heads: pl.DataFrame, subtask: str | None) -> pl.DataFrame:
    if subtask is None:
        return heads
    known = heads["subtask"].unique(maintain_order=True).to_list()
    if subtask not in known:
        expected = ", ".join("no --subtask" if name is None else name for name in known)
        raise ParameterError(f"`subtask` is {subtask!r}, expected one of: {expected}")
    return heads.filter(pl.col("subtask") == subtask)


def _counts(store: FeatureStore, splits: Sequence[str]) -> list[dict[str, Any]]:
    """Return how many examples each class of each subtask has, or each of many labels.

    Of a regression, how many numbers each split has, and the least and the greatest of them.
    """
    frames = [
        table.select("split", "subtask", "label", skipped=pl.lit(skipped))
        for split in splits
        for table, skipped in ((store.examples(split), False), (store.skipped(split), True))
    ]
    if not frames:
        return []
    table = target_of(store.benchmark).grouped(pl.concat(frames))
    return (
        table.group_by("split", "subtask", "label", maintain_order=True)
        .agg(examples=(~pl.col("skipped")).sum(), skipped=pl.col("skipped").sum())
        .to_dicts()
    )


def _older(store: FeatureStore) -> list[str]:
    names = []
    for result in Results(store.path).selected:
        with suppress(SavsError):  # what is wrong with it, the command says that uses it
            if result.is_older:
                names.append(result.name)
    return names
