"""README.md of what is shared: front matter that the hub reads, and what a user must know."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.datasets import BENCHMARKS
from savs.foundation.errors import command
from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.tables import metrics_table
from savs.pipeline.names import IMPORTED
from savs.pipeline.running.formatting import counted, format_bytes, percent, visible
from savs.pipeline.running.table import Table
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.training_data import StoredTraining, train_digest
from savs.pipeline.targets import Target
from savs.pipeline.targets.tasks import TaskSelection
from savs.stores import FeatureStore, head_name

TAGS = ("savs", "few-shot", "sparse-attention-vectors")
LONGEST_NAME = 300
"""Characters of a name, a prompt or a note that a card shows."""
CLASSES_SHOWN = 200
"""Classes that the table lists."""
PROGRAM_NEEDS = 'torch torchvision "transformers>=5.24" safetensors pillow numpy'
"""What predict.py imports."""
GRADIO = "6.31.0"
"""The version of the Space's page; requirements.txt takes later ones outside of the Hub, too."""
SPACE_USE = """\
## Use

```bash
pip install -r requirements.txt
python app.py
```

The page needs no savs. It deletes uploads after an hour. It reads two variables:

| variable | meaning |
| --- | --- |
| `MODEL` | a folder, `OWNER/NAME` or `OWNER/NAME@COMMIT`; by default the model above, or `model/` |
| `RISK` | the error rate at which an answer counts as sure, 0.1 by default |

`savs classify . IMAGES --out predictions.csv` classifies many images.
"""
LIMITS = """\
{limits}\
* It was made for the prompt above. Other prompts, pixel limits or weights need another selection.
* Few training examples decide. Measure it on images like those that it will classify.
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """A classifier that is shared, and where its facts come from."""

    store: FeatureStore
    """The store that it was selected from."""
    source: Path
    """Where it was saved; an evaluation there is reported."""
    whole: Selection
    """The classifier as it was saved, which may have more subtasks; their metrics are left out."""
    selection: Selection
    """What is shared of it."""


def model_card(shared: Shared, no_program: str | None) -> str:
    """Return README.md of a bundle; `no_program` says why it has no predict.py, None if it has one.

    ResultError if the evaluation was changed.
    """
    facts = shared.selection.model
    lines = ["library_name: savs", "pipeline_tag: image-classification"]
    if facts.get("revision"):  # a model of the hub
        lines.append(f"base_model: {_yaml(facts['name'])}")
    use = _use(shared.selection, no_program)
    return "\n".join([_front_matter(lines), *_about(shared, use)])


def space_card(shared: Shared, title: str) -> str:
    """Return README.md of a Space: what the Hub reads, how the page runs, and the same facts.

    ResultError if the evaluation was changed.
    """
    facts = shared.selection.model
    lines = [
        f"title: {_yaml(title)}",
        *("emoji: 🔎", "colorFrom: indigo", "colorTo: green"),
        *("sdk: gradio", f"sdk_version: {GRADIO}", 'python_version: "3.12"'),
        *("app_file: app.py", "pinned: false"),
        *([f"models:\n- {_yaml(facts['name'])}"] if facts.get("revision") else []),
    ]
    return "\n".join([_front_matter(lines), *_about(shared, SPACE_USE)])


def _about(shared: Shared, use: str) -> list[str]:
    """Return the parts of a card after the front matter."""
    selection, whole, folder = shared.selection, shared.whole, shared.source
    limits = selection.target.limits(selection, _text)
    sentences = "".join(f"* {line}\n" for line in limits) + _error(selection, whole, folder)
    return [
        "# Few-shot image classifier\n",
        _summary(selection),
        *_tasks(selection, shared.store),
        _metrics(selection, whole, folder),
        use,
        "## Limits\n\n" + LIMITS.format(limits=sentences),
    ]


def evaluation_of(store: str, selections: Sequence[str]) -> str:
    """Return the command that evaluates a store by a selection that it holds, or by a new one."""
    name = "vote" if not selections or "vote" in selections else selections[0]
    return visible(
        command("savs", "evaluate", store, *([] if name == "vote" else ["--selection", name]))
    )


def store_card(store: FeatureStore, selections: Sequence[str]) -> str:
    """Return README.md of a feature store: model, data, licence, sizes, and how it is read.

    `selections` are the names of those that lie in it.
    """
    facts = store.facts
    name, benchmark = facts["benchmark"]["name"], BENCHMARKS.get(facts["benchmark"]["name"])
    about = None if benchmark is None else benchmark.about
    model = facts["model"]
    commit = f" at commit {_text(model['revision'])}" if model.get("revision") else ""
    widths = " and ".join(map(str, facts["head_dims"]))
    planned = ", ".join(f"{count:,} {split}" for split, count in facts["planned"].items())
    rows = [
        ("model", f"{_text(model['name'])} ({_text(model['class'])}){commit}"),
        ("benchmark", _text(name)),
        ("data", _text(about.source) if about else "by the author of this store"),
        ("licence of the data", _text(about.licence) if about else "not stated"),
        ("examples", planned),
        ("heads", f"{facts['heads']} in {facts['layers']} layers, {widths} wide, {facts['dtype']}"),
        ("size", format_bytes(facts["bytes"])),
    ]
    front = _front_matter(tags=(*TAGS, "feature-store"))
    return (
        f"{front}\n# Feature store\n\nThe outputs of attention heads at the last token, written by"
        " `savs extract`. It holds features, labels\nand prompts, and no images but thumbnails, if"
        f" it has those.\n\n{_facts(rows)}\n## Use\n\n```bash\nhf download OWNER/NAME"
        f" --repo-type dataset --local-dir store\n{evaluation_of('store', selections)}\n```\n"
    )


def _front_matter(lines: Sequence[str] = (), tags: Sequence[str] = TAGS) -> str:
    """Return the YAML block of a card, which ends with its tags."""
    return "\n".join(["---", *lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _summary(selection: Selection) -> str:
    facts, source = selection.model, selection.source
    commit = f" at commit {_text(facts['revision'])}" if facts.get("revision") else ""
    heads = [counted(selection.head_count, "attention head")] if selection.head_count else []
    read = [*heads, "the model's own answers"] if selection.answers else heads
    deepest = max(layer for layer, _ in selection.model_heads)
    rows = [
        ("model", f"{_text(facts.get('name'))} ({_text(facts.get('class'))}){commit}"),
        ("dtype", source.dtype),
        ("readout", f"{selection.readout} of {' and '.join(read)}"),
        ("training examples", f"{selection.examples:,}"),
        ("decoder layers needed", "all" if selection.answers else f"{deepest + 1}"),
        *(
            (name.replace("_", " "), f"{source.processor[name]:,}")
            for name in ("min_pixels", "max_pixels")
            if isinstance(source.processor.get(name), int)
        ),
    ]
    return (
        "The frozen model reads an image and a question; some of its attention heads vote for a"
        " class\n(Sparse Attention Vectors, arXiv 2412.00142). No weights were trained.\n\n"
        + _facts(rows)
    )


def _counted(
    selection: Selection, store: FeatureStore
) -> list[tuple[TaskSelection, dict[str, int] | None]]:
    """Return the tasks, each with its training examples per class, where the store has them."""
    if selection.train != train_digest(store):
        return [(task, None) for task in selection.tasks]
    counts = {
        task.subtask: {name: int((task.labels == n).sum()) for n, name in enumerate(task.classes)}
        for task in StoredTraining(store).tasks()
    }
    return [(task, counts.get(task.subtask)) for task in selection.tasks]


def _tasks(selection: Selection, store: FeatureStore) -> list[str]:
    """Return a part for each task, or one for many labels."""
    counted = _counted(selection, store)
    if not selection.target.tasks_share_rows:
        return [_task(selection.target, task, counts) for task, counts in counted]
    tasks, counts = zip(*counted[:CLASSES_SHOWN], strict=True)
    header, rows = selection.target.learned_together(tasks, counts)
    more = len(counted) - len(rows)
    return [
        f"## Labels\n\nPrompt: {_prompt(selection.run_tasks[0].question)}\n\n"
        + Table.of_cells(header, rows).markdown(_text)
        + (f"\nand {more:,} more.\n" if more else "")
    ]


def _task(target: Target, task: TaskSelection, counts: dict[str, int] | None) -> str:
    where = "" if task.subtask is None else f": {_text(task.subtask)}"
    classes = task.classes[:CLASSES_SHOWN]
    rows = [[name, counts and counts[name]] for name in classes]
    more = len(task.classes) - len(classes)
    header = ["class", "training examples"]
    if not target.kinds_of_task:
        header, rows = ["of the training examples", ""], target.learned(task.decision)
    return (
        f"## {target.heading}{where}\n\nPrompt: {_prompt(task.question)}\n\n"
        + Table.of_cells(header, rows).markdown(_text)
        + (f"\nand {more:,} more.\n" if more else "")
        + f"\nHeads, best first: {', '.join(map(head_name, task.heads))}.\n"
    )


def _prompt(question: str | None) -> str:
    if question is None:
        return "each training example had its own"
    return _text(question) if question else "none"


def _metrics(selection: Selection, whole: Selection, folder: Path) -> str:
    """Return the metrics of the evaluation in a folder, and of its cross-validation, if any."""
    parts = []
    only = None if len(selection.tasks) == len(whole.tasks) else selection.tasks[0].subtask
    result = Result(folder)
    if result.is_evaluated:
        parts.append(_measured(result.metrics, "test examples", only))
    folds = result.of_folds
    facts = (whole.model, whole.readout, whole.scoring, whole.head_count, whole.examples)
    keys = ("model", "readout", "scoring", "heads", "scored")
    if folds.is_evaluated and facts == tuple(folds.metrics[key] for key in keys):
        parts.append(_measured(folds.metrics, "training examples, with heads of the others", only))
    return "## Metrics\n\n" + ("\n".join(parts) or "Nothing was measured.\n")


def _measured(evaluation: Mapping[str, Any], what: str, only: str | None) -> str:
    """Return the metrics of an evaluation; `only` names the one subtask whose metrics are shown."""
    metrics = [m for m in evaluation["metrics"] if only is None or m["name"].endswith(f", {only}")]
    if only is not None and not metrics:
        return f"The evaluation on {what} has no metric of this subtask alone.\n"
    scored = evaluation["scored"] if only is None else metrics[0]["units"]
    notes = "".join(f"* {_text(note)}\n" for note in evaluation["notes"])
    return f"Measured on {scored:,} {what}.\n\n{metrics_table(metrics).markdown(_text)}\n{notes}"


def _error(selection: Selection, whole: Selection, folder: Path) -> str:
    """Return how far the probabilities of an evaluation were off, if there is one of these tasks.

    That of more tasks is of all their examples together, but for several prompts of each example.
    """
    if len(selection.tasks) < len(whole.tasks):
        return ""
    result = Result(folder)
    parts = result.metrics["confidence"] if result.is_evaluated else []
    return "".join(
        f"* The expected calibration error on {part['examples']:,}"
        f" {'test examples' if part['coverage'] else 'pairs of a test example and a label'}"
        f"{'' if part['prompt'] is None else ' under the prompt ' + _text(part['prompt'])} is"
        f" {percent(part['calibration_error'])} %.\n"
        for part in parts
        if part["temperatures"] is not None
    )


def _use(selection: Selection, no_program: str | None) -> str:
    name = selection.model.get("name")
    is_local = selection.model.get("revision") is None and name != DEMO_NAME
    model = " --model FOLDER" if is_local else ""
    readout_option = " --readout FILE.py" if selection.readout_file else ""
    lines = [f"savs classify . IMAGES --out predictions.csv{model}{readout_option}"]
    if selection.model.get("class") == IMPORTED:
        lines = [f"savs evaluate NEW --selection .{readout_option}"]
    if no_program is None:
        needs_folder = selection.model.get("revision") is None
        lines.append(f"pip install {PROGRAM_NEEDS}")
        lines.append(f"python predict.py IMAGES{' --model FOLDER' if needs_folder else ''}")
    text = "## Use\n\n```bash\n" + "\n".join(lines) + "\n```\n"
    if selection.readout_file:
        text += f"\nThe file of the readout is {_text(selection.readout_file)}.\n"
    if no_program is None:
        return text + "\n`predict.py` needs no savs.\n"
    return text + f"\nThere is no `predict.py`: {no_program}.\n"


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    """Return names and texts as a table without headings."""
    return "| | |\n| --- | --- |\n" + "".join(f"| {name} | {text} |\n" for name, text in rows)


def _yaml(text: str) -> str:
    """Return a text as YAML has it: a JSON string without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_NAME])
    return json.dumps(plain, ensure_ascii=False)


def _text(value: Any) -> str:
    """Return a text of the data as code, which no Markdown or HTML in it can leave."""
    text = str(value)
    more = " ..." if len(text) > LONGEST_NAME else ""
    plain = visible(" ".join(text[:LONGEST_NAME].split())).replace("|", "\\|").replace("`", "'")
    return f"`{plain}{more}`"
