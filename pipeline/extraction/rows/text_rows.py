"""Rows of text alone, in splits of their own: the classes by name, and captions.

A dual encoder compares images with them; a model with a language decoder is given a class before
the question (HEC-T, arXiv 2603.24181).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest

from savs.datasets import Benchmark, Example, RowError
from savs.datasets.example import without_marks
from savs.datasets.rows.plugin_guard import read_captions
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.refusals import require_encoder_run
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.rows.appending import WantedExamples, as_examples, stored_rows
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.class_names import (
    fill,
    read_class_names,
    read_templates,
)
from savs.pipeline.inputs.source import Splits
from savs.pipeline.running.formatting import counted
from savs.stores import FeatureStore
from savs.stores.format.layout import (
    CAPTIONS,
    CLASSES,
    SPLITS,
    TEXTS_OF_BENCHMARK,
    TEXTS_OF_FILE,
    TEXTS_OF_NAMES,
    TEXTS_OF_PROMPTS,
    digest,
)

Text = tuple[str | None, str | None, str | None, str]
"""Subtask, label, kind and text of a row."""
TEMPLATES = ("a photo of a {class}.",)
"""Of a benchmark that has none of its own."""
TOLD = "You are given an image of a {class}\n"
"""What stands before the question (HEC-T)."""
PROMPTS = 8
"""Questions of a subtask, the first ones, that each of its classes is given before."""


@dataclass(frozen=True, slots=True)
class ClassWords:
    """How classes are worded, from the user's options."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Label -> name; other labels are their own names."""
    templates: tuple[str, ...] = ()
    """Those of the user's file."""


def read_words(run: RunOptions) -> ClassWords:
    """Read the files that a run's options name; ParameterError if one cannot be read."""
    return ClassWords(
        read_class_names(str(run.classes)) if run.names_classes else {},
        read_templates(run.templates) if run.templates is not None else (),
    )


def text_rows(
    encoder: PromptEncoder,
    benchmark: Benchmark,
    examples: Splits,
    words: ClassWords,
    run: RunOptions,
) -> Splits:
    """Return the rows of text of a run, by split: nothing if it keeps none.

    ModelError if the model is an encoder and an example or an option does not suit it, or it is no
    dual encoder and templates were given. RowError if only some prompts of a subtask have a
    caption.
    """
    rows = {split: examples.get(split, []) for split in SPLITS}
    if not encoder.has_heads:
        require_encoder_run(encoder, rows, run)
    if not encoder.reads_prompts:
        return _dual_rows(benchmark, rows, words) if encoder.is_dual else {}
    if run.templates is not None:
        raise ModelError(
            f"{encoder.name} is no dual encoder, so its texts are no templates but the benchmark's"
            " questions; drop `templates`"
        )
    return _rows_before_questions(rows, words) if run.classes is not None else {}


def with_texts(wanted: WantedExamples, texts: Splits, store: FeatureStore | None) -> WantedExamples:
    """Return the examples of a run with its texts, those first that its store has already.

    So a store keeps its texts, whatever is given later: more templates, or examples with others.
    """
    rows_of = dict(texts)
    for split in (CLASSES, CAPTIONS):
        if store is not None and split in store.manifest.plan.splits:
            rows_of[split] = _after_stored(store, split, texts.get(split, []))
    ids = {(split, example.id) for split, rows in rows_of.items() for example in rows}
    return replace(wanted, examples={**wanted.examples, **rows_of}, readable=wanted.readable | ids)


def _after_stored(store: FeatureStore, split: str, wanted: Sequence[Example]) -> list[Example]:
    """Return the rows of a store, and after them those that it lacks.

    A row whose shard is missing is the wanted one of its id: an equal run planned it.
    """
    table = stored_rows(store, split)
    stored = {} if table is None else as_examples(table, split)
    by_id = {row.id: row for row in wanted}
    names = dict.fromkeys([*store.manifest.plan.splits[split].ids, *by_id])
    return [
        stored.get(name) or replace(by_id[name], index=place)
        for place, name in enumerate(names)
        if name in stored or name in by_id
    ]


def unread_notes(encoder: PromptEncoder, examples: Splits) -> list[str]:
    """Return lines that say which texts an encoder does not read, or not to their end."""
    if encoder.reads_prompts:
        return []
    if encoder.text_tokens is None:
        rows = chain.from_iterable(examples.values())
        questions = {without_marks(row.prompt).strip() for row in rows} - {""}
        what = f"note: {encoder.name} is an image encoder and cannot read questions: features do"
        return (
            [f"{what} not depend on the {counted(len(questions), 'prompt')}"] if questions else []
        )
    texts = [row.prompt for split in (CLASSES, CAPTIONS) for row in examples.get(split, ())]
    if not texts:
        return []
    long = sum(count > encoder.text_tokens for count in encoder.count_tokens(texts))
    cut = f"{long:,} of {len(texts):,} texts are longer than the {encoder.text_tokens} tokens that"
    return [f"{cut} {encoder.name} reads: they are cut there, as in its training"] if long else []


def _dual_rows(benchmark: Benchmark, examples: Splits, words: ClassWords) -> Splits:
    """Return the texts that a dual encoder compares the images of a benchmark with.

    Subtasks whose prompts are captions have these; the others have their classes, in templates.
    RowError if only some prompts of a subtask have a caption.
    """
    pairs = zip_longest(*(examples[split] for split in examples))
    mixed = [example for pair in pairs for example in pair if example is not None]
    captions: dict[str, None] = {}
    captioned: dict[str | None, bool] = {}
    for example in mixed:
        read = read_captions(benchmark, example.prompt)
        captions.update(dict.fromkeys(read.values()))
        if captioned.setdefault(example.subtask, bool(read)) != bool(read):
            raise RowError(
                f"{example.split} example {example.id!r}: its prompt has"
                f" {'a caption' if read else 'no caption'}, unlike others of subtask"
                f" {example.subtask!r}; word all prompts of a subtask alike"
            )
    classes = {s: names for s, names in _classes(examples, words).items() if not captioned[s]}
    templates = {
        TEXTS_OF_NAMES: ("{class}",),
        TEXTS_OF_BENCHMARK: benchmark.templates or TEMPLATES,
        TEXTS_OF_FILE: words.templates,
    }
    texts = [
        (subtask, label, kind, fill(template, label, words.names))
        for kind, wordings in templates.items()
        for template in wordings
        for subtask, labels in classes.items()
        for label in labels
    ]
    if words.names and not examples["train"] and captions:
        raise ModelError(
            "the prompts are captions, and the threshold of their answers needs training examples;"
            " pass `train`, and drop `classes`"
        )
    rows_of = {CLASSES: _rows(CLASSES, texts)}
    rows_of[CAPTIONS] = _rows(CAPTIONS, [(None, None, None, caption) for caption in captions])
    return {split: rows for split, rows in rows_of.items() if rows}


def _rows_before_questions(examples: Splits, words: ClassWords) -> Splits:
    """Return the texts that tell a model each class of a benchmark before its questions."""
    texts = []
    for subtask, labels in _classes(examples, words).items():
        of = examples["train"] or examples["test"]
        prompts = dict.fromkeys(e.prompt for e in of if e.subtask == subtask)
        for prompt in list(prompts)[:PROMPTS]:
            plain = without_marks(prompt)
            texts += [
                (subtask, label, TEXTS_OF_PROMPTS, fill(TOLD, label, words.names) + plain)
                for label in labels
            ]
    return {CLASSES: _rows(CLASSES, texts)}


def _classes(examples: Splits, words: ClassWords) -> dict[str | None, list[str]]:
    """Return the classes of each subtask: of the training examples, else those that have names."""
    classes: dict[str | None, dict[str, None]] = {}
    for example in examples["train"]:
        classes.setdefault(example.subtask, {})[str(example.label)] = None
    if not classes:
        classes = {example.subtask: dict.fromkeys(words.names) for example in examples["test"]}
    return {subtask: list(labels) for subtask, labels in classes.items()}


def _rows(split: str, texts: Sequence[Text]) -> list[Example]:
    """Return each text once, with an id of its content: equal texts of stores can be united."""
    return [
        Example(
            id=f"{split}:{digest((subtask, label, kind, prompt))[:16]}",
            split=split,
            index=index,
            label=label,
            prompt=prompt,
            subtask=subtask,
            category=kind,
        )
        for index, (subtask, label, kind, prompt) in enumerate(dict.fromkeys(texts))
    ]
