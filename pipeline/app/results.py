"""The tab Results: what `savs evaluate` wrote, its wrong examples, and why one was wrong."""

from savs.pipeline.app.choosing import choose_again, is_due
from savs.pipeline.app.frames import render_frame
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.evaluation import evaluate_method
from savs.pipeline.evaluation.evaluation_file import save_evaluation
from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.explain.explain import OF_MAPS, explain
from savs.pipeline.reports.report.classes import classes_part
from savs.pipeline.reports.report.folders import read_results
from savs.pipeline.reports.report.gallery import gallery_part
from savs.pipeline.reports.report.headline import headline_of, metrics_part
from savs.pipeline.selection.selection_config import selection_run

MOST_WRONG = 60
"""Wrong examples that are shown, the surest mistakes of each class first."""


def results_page(workspace: Workspace) -> str:
    """Return the page of the results of the classifier.

    ReportError, ResultError or ComparisonError if there are none, they are those of an earlier
    classifier, or test examples have no labels.
    """
    place = _place(workspace)
    if not place.is_evaluated:
        raise ReportError(f"{place.folder} has no results yet; press Evaluate")
    # results of test examples lie next to their classifier, others have it in their folder
    is_of_folds = place.folder != workspace.folder
    if (
        selection_run(place.folder) != selection_run(workspace.folder)
        if is_of_folds
        else place.is_selected_again
    ):
        raise ReportError(
            f"{place.folder} has the results of an earlier classifier; press Evaluate"
        )
    (first,) = read_results([place.folder])
    wrong = gallery_part([first], MOST_WRONG, workspace.media_root, only_wrong=True)
    cards = () if wrong is None else wrong.cards
    content = {  # named as the templates of a report name them
        "classifier": workspace.folder.name,
        "first": first,
        "headline": headline_of([first]),
        "classes": classes_part(first, None),  # the wrong examples stand for a gallery
        "wrong": cards,
        "more": 0 if wrong is None else wrong.wrong - len(cards),
        "notes": () if wrong is None else tuple(map(workspace.spelled, wrong.notes)),
        "metrics": metrics_part(first),
        "is_explained": first.split == "test"
        or not first.target.refusal("an explanation of left-out examples", first.folder),
        "gallery": None,
    }
    return render_frame("results.html", content=content)


def _place(workspace: Workspace) -> Result:
    """Return the results: of test examples, or of folds if it has none."""
    # of a classifier alone, `store` says that it needs one
    has_test = workspace.store().ids("test")
    return workspace.result if has_test else workspace.result.of_folds


def why_page(workspace: Workspace, identifier: str) -> str:
    """Return the page of `explain` for one example of the results; errors as there."""
    place = _place(workspace).folder
    explained = explain(place, ids=[identifier], media_root=workspace.media_root)
    return render_frame("explain.html", content=explained, **OF_MAPS)


def evaluate_now(workspace: Workspace) -> str:
    """Evaluate the classifier as `savs evaluate` does, and return the page of the results.

    Heads are chosen again first if labels came since. Without test examples, the training examples
    are left out in turn.
    """
    place = _place(workspace)
    with workspace.saving:
        if is_due(workspace):
            choose_again(workspace)
        on = "test" if place.folder == workspace.folder else "folds"
        evaluation = evaluate_method(workspace.store(), workspace.selection(), on=on)
        save_evaluation(evaluation, place.folder)
    return results_page(workspace)
