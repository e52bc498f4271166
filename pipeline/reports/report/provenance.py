"""What limits the numbers of a report, and how they were made: skips, notes, commands."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.asked import AskedQuestion, asked_questions
from savs.foundation.errors import SavsError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.suspects import SUSPECTS
from savs.pipeline.extraction.model.model_options import ClassifiedKeywords
from savs.pipeline.extraction.recorded_options import ASKED, command_words, python_words
from savs.pipeline.inputs.input_options import NewImageKeywords
from savs.pipeline.readouts import BUILT_IN
from savs.pipeline.selection.selection_config import SelectionConfig, model_heads
from savs.pipeline.selection.training_data import examples_digest, train_digest
from savs.pipeline.targets import is_chosen
from savs.stores import FeatureStore, head_name
from savs.stores.format.layout import HEADS_SITE, digest

OF_ASK = {
    "question",
    "model",
    *NewImageKeywords.__annotations__,
    *ClassifiedKeywords.__annotations__,
}
"""Options of stage 1 that `savs ask` has."""
RUN_FACTS = ("gpu", "device", "attention", "started")
"""What is given the first run of an extraction, next to its versions."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the numbers were made, and can be made again."""

    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def provenance_part(result: Result, out: Path, media_root: str | Path | None = None) -> Provenance:
    """Return the facts about a result, and the commands that make it again."""
    return Provenance(tuple(_facts(result)), tuple(_commands(result, out, media_root)))


def _facts(result: Result) -> list[tuple[str, str]]:
    model, config, store = result.metrics["model"], result.config, result.store
    facts = {
        "model": model.get("name"),
        "revision": model.get("revision") or "local files",
        "class": model.get("class"),
        "readout": _with_summary(result.metrics["readout"]),
        "scoring of heads": result.metrics["scoring"],
        "heads": result.metrics["heads"] or None,
        "training examples": f"{config.examples:,}" if config else None,
        "digest of the training examples": config.train if config else None,
        "digest of the results": digest(result.metrics),
        "savs": version("savs"),
    }
    if store is not None:
        identity = store.manifest.identity
        facts |= {
            "benchmark": identity.benchmark["name"],
            "site": None if identity.site == HEADS_SITE else identity.site,
            "features": f"{len(store.heads):,} heads in {len(store.grid)} layers, {identity.dtype}",
            "digest of the store's identity": identity.digest,
            **_run_facts(store.manifest.runs),
        }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _with_summary(readout: str) -> str:
    """Return the name of a readout, with what it computes where it is built in."""
    return f"{readout}: {BUILT_IN[readout].summary}" if readout in BUILT_IN else readout


def _run_facts(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the device and versions of the extraction's first run."""
    run = dict(runs[0]) if runs else {}
    facts = {name: str(run[name]) for name in RUN_FACTS if run.get(name)}
    versions = run.get("versions")
    if isinstance(versions, Mapping):
        facts["versions"] = ", ".join(f"{name} {number}" for name, number in versions.items())
    return facts


def _commands(result: Result, out: Path, media_root: str | Path | None) -> list[str]:
    """Return the commands, from the extraction on."""
    place = "STORE" if result.store is None else str(result.folder.parent.parent)
    readout = result.metrics["readout"]
    lines = [] if result.store is None else _extract(result.store, place)
    chosen, evaluate = result.config, ["savs", "evaluate", place, "--readout", readout]
    is_asked_for = chosen is not None and is_chosen(chosen.target)
    if is_asked_for:
        evaluate[3:] = ["--selection", result.target.result_name(readout)]
    if chosen is not None and _is_own(result):
        select = ["savs", "select", place, *_heads(chosen)]
        select += ["--readout", readout, "--scoring", str(result.metrics["scoring"])]
        if chosen.max_layer is not None:
            select += ["--max-layer", str(chosen.max_layer)]
        if not any(task.decision and task.decision.is_fitted for task in chosen.tasks):
            select.append("--no-estimate")
        if chosen.precision is not None:
            select += ["--precision", str(chosen.precision)]
        if chosen.pseudo_labels is not None:
            select += ["--target", f"pseudo-labels:{chosen.pseudo_labels}"]
        elif is_asked_for:
            select += ["--target", chosen.labels]
        if (result.folder / SUSPECTS).exists():
            select.append("--suspects")
        lines.append(_line(select, ["joint_heads=True"] if chosen.joint_heads else []))
    if result.metrics["folds"] is not None:
        evaluate += ["--folds", str(result.metrics["folds"])]
    if any("`drop_leaks`" in note for note in result.metrics["notes"]):
        evaluate.append("--drop-leaks")
    confidence = result.metrics["confidence"]
    if confidence and confidence[0]["risk"]:
        evaluate += ["--risk", str(confidence[0]["risk"]["risk"])]
    lines.append(_line([*evaluate, "--out", str(result.folder)]))
    images = [] if media_root is None else ["--media-root", str(media_root)]
    return [*lines, _line(["savs", "report", str(result.folder), *images, "--out", str(out)])]


def _heads(chosen: SelectionConfig) -> list[str]:
    """Return the option that names heads, or their number; heads of another selection differ."""
    if chosen.heads_from is None:
        count = chosen.heads_each or chosen.head_count
        return ["--heads", str(count)] if count else []
    head_lists = {",".join(map(head_name, model_heads(task.heads))) for task in chosen.tasks}
    return ["--heads", head_lists.pop() if len(head_lists) == 1 else "SELECTION"]


def _line(words: Sequence[str], alone: Sequence[str] = ()) -> str:
    """Return a command, with a comment on what Python alone has."""
    return shlex.join(words) + (f"  # in Python, with {', '.join(alone)}" if alone else "")


def _extract(store: FeatureStore, place: str) -> list[str]:
    """Return a command for each request that the runs of an extraction record, in their order.

    A store that was extended, by `append` or a larger `limit`, has several.
    """
    identity = store.manifest.identity
    revision = identity.model.get("revision")
    at, pinned = f"@{revision}" if revision else "", ["--dtype", identity.dtype]
    recorded = [run.get(ASKED) for run in store.manifest.runs]
    requests = [request for request in recorded if isinstance(request, Mapping)]
    name, model = str(identity.benchmark["name"]), str(identity.model["name"])
    if not requests:
        inputs = ["--train", "TRAIN", "--test", "TEST", "--model", f"{model}{at}"]
        return [_line(["savs", "extract", name, *inputs, *pinned, "--out", place])]
    lines, asked = list[str](), asked_questions(identity.benchmark)
    for request in requests:
        start = ["savs", "extract", str(request.get("benchmark", name))]
        if "model" in request:
            request = {**request, "model": f"{request['model']}{at}"}
        line = _line(
            [*start, *command_words(request), *pinned, "--out", place], python_words(request)
        )
        if asked and "unlabelled" in request:
            line = _ask(request, asked, place)
        lines += [line] if line not in lines else []
    return lines


def _ask(request: Mapping[str, Any], asked: Sequence[AskedQuestion], place: str) -> str:
    """Return the command that asked; questions with classes of their own are in a file."""
    known = {name: value for name, value in request.items() if name in OF_ASK}
    flag = "--level" if asked[0].are_levels else "--class"
    answers = [word for answer in asked[0].answers for word in (flag, answer)]
    if any(one.answers != asked[0].answers for one in asked):
        known["question"], answers = "QUESTIONS.json", []
    words = ["savs", "ask", str(request["unlabelled"]), *command_words(known), *answers]
    return _line([*words, "--out", place])


def _is_own(result: Result) -> bool:
    """Return whether the selection was made from the training examples of the result's store."""
    try:
        return (
            result.store is not None
            and result.config is not None
            and examples_digest(result.config.train) == train_digest(result.store)
        )
    except SavsError:
        return False  # its shards are gone


NAMED = 20
"""Most ids that are named."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What limits the numbers."""

    leaks: Mapping[str, Sequence[str]]
    """Kind of leak -> ids."""
    reasons: tuple[tuple[str, str], ...]
    """Id and reason of the first skipped examples."""


def checks_part(result: Result) -> Checks:
    """Return the leaks and skips of a result; its counts and notes are in metrics.json."""
    leaks = {kind: ids for kind, ids in result.metrics["leaks"].items() if ids}
    ids = result.predictions().filter(pl.col("prediction").is_null())["id"].head(NAMED).to_list()
    known: dict[str, str] = {}
    if result.store is not None and ids:
        with suppress(SavsError):  # shards that are gone
            known = dict(result.store.skipped(result.split).select("id", "reason").rows())
    why = "the store, which knows why, is not there"
    return Checks(leaks, tuple((name, known.get(name, why)) for name in ids))
