"""Result folders of `evaluate`: read, named briefly, and grouped by their test examples.

Two tables are about the same examples if `example_differences` finds none.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from savs.datasets.splits.clusters import cluster_ids
from savs.foundation.errors import command
from savs.foundation.files import real_path
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.results import Result, Results
from savs.pipeline.running.result_files import METRICS
from savs.stores import ResultError
from savs.stores.format.layout import MANIFEST, RESULTS


def read_result(folder: Path, name: str = "", use: str = "a comparison") -> Result:
    """Read a result that can be compared; `name` is its short one, by default its folder's.

    `use` is what it is for, see `Target.refused`.

    Raises
    ------
    ComparisonError
        It is no folder of results, or has no metrics.
    SelectionError
        The use has no meaning for its labels.
    ResultError
        A file of it is missing or damaged, or its files belong to different evaluations.
    """
    if not folder.is_dir():
        raise ComparisonError(
            f"{folder} is not a folder; pass one that `savs evaluate` wrote, e.g. "
            f"STORE/{RESULTS}/vote"
        )
    if (folder / MANIFEST).exists():
        results = Results(folder)
        there = [str(one.folder) for one in map(results.place, results) if one.is_evaluated]
        raise ComparisonError(
            f"{folder} is a store; pass result folders in it: "
            + (", ".join(there) or "it has none yet, run " + command("savs", "evaluate", folder))
        )
    result = Result(folder, name)
    result.target.require(use, folder)
    if absent := [name for name in result.target.tables if name not in result.metrics]:
        raise ResultError(f"{folder / METRICS} has no {absent[0]!r}; run `savs evaluate` again")
    if not result.units():
        raise ComparisonError(
            f"{folder} has no metrics, because its test examples have no labels; label them"
        )
    result.predictions()  # what is wrong with a file is said before others are read
    return result


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest end of each path that is unique.

    Examples
    --------
    >>> short_names([Path("a/results/vote"), Path("b/results/vote"), Path("a/results/lda")])
    ['a/results/vote', 'b/results/vote', 'lda']
    """
    paths = [real_path(folder).parts for folder in folders]
    names = []
    for index, parts in enumerate(paths):
        others = [other for i, other in enumerate(paths) if i != index]
        length = next(
            n
            for n in range(1, len(parts) + 1)
            if n == len(parts) or all(other[-n:] != parts[-n:] for other in others)
        )
        names.append("/".join(parts[-length:]))
    return names


def group_results(results: Sequence[Result]) -> list[list[Result]]:
    """Return the results of each data set: those that are about the same examples.

    The same examples have the same ids, labels, groups, subtasks, categories, media and clusters in
    the same order; prompts may differ, as methods need other ones. Where examples were skipped,
    clusters may differ: the images of a skipped one are not known.

    Raises
    ------
    ComparisonError
        A result shares its examples with no other.
    """
    groups: list[list[Result]] = []
    for result in results:
        for group in groups:
            if of_same_examples(result, group[0]):
                group.append(result)
                break
        else:
            groups.append([result])
    for group in groups:
        if len(group) == 1:
            raise ComparisonError(_alone(group[0], [r for r in results if r is not group[0]]))
    return groups


def of_same_examples(a: Result, b: Result) -> bool:
    """Return whether two results are about the same examples, see `group_results`."""
    return not _differences(a, b)


def _alone(result: Result, others: Sequence[Result]) -> str:
    ids = set(result.predictions()["id"])
    nearest = max(others, key=lambda other: len(ids & set(other.predictions()["id"])))
    return (
        f"{result.folder} has other test examples than all other results; compared with"
        f" {nearest.folder}:\n  "
        + "\n  ".join(_differences(result, nearest))
        + "\na comparison needs the same examples in the same order: evaluate both on one test set,"
        " with the same `drop_leaks` and `partial`"
    )


def _differences(a: Result, b: Result) -> list[str]:
    """Return how the examples of a ("here") differ from those of b; empty if they are equal."""
    here, there = a.predictions(), b.predictions()
    differences = example_differences(here, there)
    skipped = here["prediction"].null_count() + there["prediction"].null_count()
    if not differences and not skipped and not here["cluster"].equals(there["cluster"]):
        differences.append("ids and labels are the same, but other examples share an image")
    return differences


EXAMPLE_COLUMNS = {
    "id": "ids",
    "label": "labels",
    "group": "groups",
    "subtask": "subtasks",
    "category": "categories",
}
"""Columns that identify an example, with their plurals for messages."""


def example_differences(here: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    """Return how test examples differ from others; nothing if they are equal, in the same order.

    One row an example: `EXAMPLE_COLUMNS`, and `content`, which is compared where both know it.
    """
    differences = []
    if here.height != there.height:
        differences.append(f"{here.height:,} test examples here, {there.height:,} there")
    shared = min(here.height, there.height)
    for column, several in EXAMPLE_COLUMNS.items():
        ours, theirs = (frame[column].cast(pl.String)[:shared] for frame in (here, there))
        apart = ours.ne_missing(theirs).arg_true()
        if len(apart):
            row = apart[0]
            where = f"row {row}" if column == "id" else repr(here["id"][row])
            differences.append(
                f"{several} differ in {len(apart):,} examples, first in {where}: {ours[row]!r}"
                f" here, {theirs[row]!r} there"
            )
            break  # other columns of other examples differ, too
    if not differences:
        # the media of skipped examples are null, which differs from nothing
        apart = (here["content"] != there["content"]).fill_null(False).arg_true()
        if len(apart):
            first = here["id"][apart[0]]
            differences.append(f"media differ in {len(apart):,} examples, first in {first!r}")
    return differences


def joined_clusters(parts: Sequence[pl.Series]) -> pl.Series:
    """Return clusters in which units are together that are in any; skips make them differ."""
    # An example that one store skipped has no digest there, which cuts the ties that its image
    # makes. The other stores still have them: units are dependent if any table says so.
    first = parts[0]
    if all(first.equals(other) for other in parts):
        return first
    rows = zip(*parts, strict=True)
    ties = [[f"{number} {cluster}" for number, cluster in enumerate(row)] for row in rows]
    return pl.Series("cluster", cluster_ids(ties))
