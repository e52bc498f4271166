"""Selections, evaluations and head maps as text."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from savs.pipeline.cli.output import detail, print_line, print_table, say
from savs.pipeline.running.formatting import counted, measured, of_shares, percent

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.confidence import Confidence, RiskReport
    from savs.pipeline.selection.selection import Selection, TaskSelection
    from savs.pipeline.statistics.intervals import Mean, Metric

HEADS_SHOWN = 8
LABELS_SHOWN = 20
PAIRS_SHOWN = 10
"""Pairs of labels that `--per-class` prints; metrics.json has more."""
CONFUSIONS_SHOWN = 10
"""Confusions that `--per-class` prints; metrics.json has all."""
SHADES = " ░▒▓█"
"""From the lowest score of a map to its highest."""
WIDEST = 99
"""The greatest rank that a cell shows."""


def print_selection(
    selection: "Selection", estimates: Mapping[str | None, "Metric"] | None = None
) -> None:
    """Print each subtask's classes, examples and best heads with their strengths.

    `estimates` are the cross-validated accuracies, if they are known. Of many labels those are
    average precisions, and the first `LABELS_SHOWN` labels are printed.
    """
    from savs.datasets.label_kinds import MANY, NUMBERS
    from savs.stores import head_name

    rows, known = [], estimates or {}
    many, of_numbers = selection.labels == MANY, selection.labels in NUMBERS
    for task in selection.tasks[: LABELS_SHOWN if many else None]:
        names = [head_name(head) for head in task.heads[:HEADS_SHOWN]]
        more = len(task.heads) - len(names)
        rows.append(
            [
                task.subtask or "all",
                selection.labels if of_numbers else str(len(task.classes)),
                str(task.examples),
                _strengths(task),
                _accuracy(known[task.subtask]) if task.subtask in known else "-",
                " ".join(names) + (f" and {more} more" if more else ""),
            ]
        )
    of, measure = (
        ("label", "cross-validated AP (%)") if many else ("subtask", "cross-validated (%)")
    )
    if of_numbers:
        measure = "cross-validated MAE"
    labels = "labels" if of_numbers else "classes"
    header = [of, labels, "examples", "head strength (%)", measure, "heads, best first"]
    print_table(header, rows)
    if (more := len(selection.tasks) - len(rows)) > 0:
        say(f"and {counted(more, 'other label')}; --json lists all")
    detail(
        "head strength: the share of the training examples that each chosen head classifies alone;"
        " it does not estimate test accuracy"
    )


def _strengths(task: "TaskSelection") -> str:
    """Return the least and the greatest strength of the chosen heads."""
    ends = " to ".join(percent(end) for end in (min(task.strengths), max(task.strengths)))
    return ends if task.number is None else f"{ends} of the variance"


def _accuracy(metric: "Metric") -> str:
    show = percent if metric.scale == "share" else partial(measured, scale=metric.scale)
    return f"{show(metric.value)} ({show(metric.low)} .. {show(metric.high)})"


def print_evaluation(evaluation: "Evaluation", *, per_class: bool = False) -> None:
    """Print the metrics with intervals and baselines, then the counts and notes.

    A row of a cross-validation says of how many of the examples its classifiers were made.
    With `per_class`, print a row a class, and the most frequent confusions, too.
    """
    are_shares = all(metric.scale == "share" for metric in evaluation.metrics)
    trained_on = [of_shares(*evaluation.train_shares)] if evaluation.train_shares else []
    rows = []
    for metric in evaluation.metrics:
        show = percent if are_shares else partial(measured, scale=metric.scale)
        value, low, high, chance = map(show, (metric.value, metric.low, metric.high, metric.chance))
        majority = [percent(metric.majority)] if are_shares else []
        ends, count = f"{low} .. {high}", f"{metric.units:,}"
        rows.append([metric.name, value, ends, chance, *majority, count, *trained_on])
    if rows:
        name, majority = ("metric (%)", ["majority"]) if are_shares else ("metric", [])
        header = [name, "value", "95 % interval", "chance", *majority, "examples"]
        header += ["trained on"] if trained_on else []
        print_table(header, rows)
    if per_class and evaluation.per_label is not None:
        _print_labels(evaluation)
    elif per_class and are_shares:
        _print_classes(evaluation)
    split, examples = evaluation.table.select("split").head(1).collect().item(), evaluation.examples
    left_out = evaluation.planned - examples
    say(
        f"{counted(evaluation.planned, f'{split} example')} planned,"
        f" {examples - evaluation.skipped:,} scored,"
        f" {evaluation.skipped:,} skipped" + (f", {left_out:,} left out" if left_out else "")
    )
    for note in evaluation.notes:
        say(f"note: {note}")


def _print_labels(evaluation: "Evaluation") -> None:
    header = ["label", "examples", "there", "predicted", "AP", "95 % interval", "precision",
              "recall", "F1", "threshold"]  # fmt: skip
    assert evaluation.per_label is not None and evaluation.pairs is not None  # noqa: PT018
    rows = [
        [row["label"], f"{row['n']:,}", f"{row['positive']:,}", f"{row['predicted']:,}",
         percent(row["average_precision"]), f"{percent(row['low'])} .. {percent(row['high'])}",
         percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
         percent(row["threshold"])]
        for row in evaluation.per_label.iter_rows(named=True)
    ]  # fmt: skip
    print_line()
    print_table(header, rows)
    pairs = evaluation.pairs.head(PAIRS_SHOWN).iter_rows(named=True)
    rows = [[row["label"], row["other"], f"{row['n']:,}", f"{row['predicted']:,}"] for row in pairs]
    if rows:
        print_line()
        print_table(["label", "with", "both there", "both predicted"], rows)


def _print_classes(evaluation: "Evaluation") -> None:
    from savs.pipeline.evaluation.per_class import class_table, confusion_table

    classes = class_table(evaluation.table, inflation=evaluation.inflation)
    confusions = confusion_table(evaluation.table)
    several = classes["subtask"].n_unique() > 1
    rows = [
        [row["label"], f"{row['n']:,}", f"{row['predicted']:,}", percent(row["precision"]),
         percent(row["recall"]), f"{percent(row['low'])} .. {percent(row['high'])}",
         percent(row["f1"]), *([row["subtask"] or "-"] if several else [])]
        for row in classes.iter_rows(named=True)
    ]  # fmt: skip
    header = ["class", "examples", "predicted", "precision", "recall", "95 % interval", "F1"]
    print_line()
    print_table(header + ["subtask"] * several, rows)
    if not confusions.height:
        return
    rows = [
        [row["label"], row["prediction"] or "(skipped)", f"{row['n']:,}",
         *([row["subtask"] or "-"] if several else [])]
        for row in confusions.head(CONFUSIONS_SHOWN).iter_rows(named=True)
    ]  # fmt: skip
    print_line()
    print_table(["class", "taken for", "examples"] + ["subtask"] * several, rows)
    if (more := confusions.height - CONFUSIONS_SHOWN) > 0:
        say(f"and {more:,} other confusions, see metrics.json")


def print_confidence(confidence: "Confidence") -> None:
    """Print how often probabilities are right, and what not answering would gain."""
    print_line()
    if confidence.prompt is not None:
        print_line(f"under the prompt {confidence.prompt!r}:")
    header = ["probability (%)", "examples", "mean", "right (%)"]
    rows = [
        [
            f"{100 * part.low:.0f} .. {100 * part.high:.0f}",
            f"{part.examples:,}",
            percent(part.probability),
            percent(part.accuracy),
        ]
        for part in confidence.reliability
    ]
    print_table(header, rows)
    calibration = (
        "not calibrated"
        if confidence.temperatures is None
        else "calibrated by left-out training examples"
    )
    error = percent(confidence.calibration_error)
    say(f"expected calibration error {error} points; probabilities are {calibration}")
    if confidence.coverage:
        print_line()
        print_table(
            ["answered (%)", *(f"{100 * part.coverage:.0f}" for part in confidence.coverage)],
            [["right (%)", *(percent(part.accuracy) for part in confidence.coverage)]],
        )
        detail("answered: only the share of examples with the greatest probability")
    else:
        detail("of all pairs of an example and a label: right where the label is there")
    if confidence.risk is not None:
        _print_risk(confidence.risk)
    if confidence.atypical is not None:
        tell = say if confidence.atypical.share.value else detail
        right = (
            f"; right among them: {_share(confidence.atypical.right)} %"
            if confidence.atypical.right
            else ""
        )
        tell(f"atypical, like no training example: {_share(confidence.atypical.share)} %{right}")


def _print_risk(report: "RiskReport") -> None:
    print_line()
    rows = [
        ["truth outside the prediction set", _share(report.outside), percent(report.risk)],
        ["answered: one class in the set", _share(report.answered), "-"],
        ["wrong among the answered", _share(report.wrong), "-"],
    ]
    print_table([f"risk {report.risk:g}", "value (%)", "at most"], rows)
    say(
        f"a set has {report.classes:.2f} classes on average; the risk is that of the truth outside"
        " the set, and the error among the answered is another number"
    )


def _share(share: "Mean | None") -> str:
    if share is None:
        return "-"
    return f"{percent(share.value)} ({percent(share.low)} .. {percent(share.high)})"


def draw_map(table: "pl.DataFrame", *, of_numbers: bool = False) -> list[str]:
    """Return the lines of a head map, whole or of some subtasks, and what they mean.

    Of one subtask, the chosen heads bear their rank; of several, the number of subtasks that chose
    them. Heads that the store does not hold are dots. Strengths of numbers are shares of their
    variance.
    """
    from savs.pipeline.selection.head_map import mean_map

    several = table["subtask"].n_unique() > 1
    heads = mean_map(table)
    lowest, highest = float(heads["strength"].min()), float(heads["strength"].max())  # type: ignore
    width = int(heads["head"].max()) + 1  # type: ignore
    lines = [f"      heads 0 to {width - 1}"]
    for (layer,), row in heads.group_by("layer", maintain_order=True):
        cells = ["··"] * width
        for head, strength, chosen, rank in row.select("head", "strength", "chosen", "rank").rows():
            shade = SHADES[_step(strength, lowest, highest)]
            cells[head] = _cell(shade, chosen, None if several else rank)
        lines.append(f"L{layer:<4} {''.join(cells)}".rstrip())
    does, of = "classifies", "the training examples"
    if of_numbers:
        does, of = "explains", "the variance"
    marks = (
        "how many subtasks chose the head, + ten or more"
        if several
        else "ranks of the chosen heads"
    )
    return [
        *lines,
        f"darker: a stronger head, which alone {does} {percent(lowest)} to {percent(highest)} % of"
        f" {of}; numbers: {marks}",
    ]


def _cell(shade: str, chosen: int, rank: int | None) -> str:
    """Return the two characters of a head: its rank, or its shade and how often it was chosen."""
    if rank is not None and rank <= WIDEST:
        return f"{rank:>2}"
    if rank is not None or not chosen:
        return 2 * shade
    return shade + (str(chosen) if chosen < 10 else "+")


def _step(strength: float, lowest: float, highest: float) -> int:
    last = len(SHADES) - 1
    return last if highest == lowest else round(last * (strength - lowest) / (highest - lowest))
