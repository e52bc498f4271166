"""What a run keeps of the model's own answers, from its options and its training labels."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import GenerationConfig

from savs.datasets import Example
from savs.pipeline.extraction.in_context import Drawn
from savs.pipeline.extraction.model.answers import MOST_GENERATED, Answers
from savs.pipeline.extraction.model.label_tokens import end_tokens, label_tokens
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits


def make_answers(
    run: RunOptions,
    loading: ModelOptions,
    encoder: PromptEncoder,
    examples: Splits,
    prompts: Sequence[Pieces],
    drawn: Drawn | None = None,
) -> Answers:
    """Return what is kept: the labels are those of the training examples, subtask by subtask.

    `prompts` are some of the examples', see `label_tokens`, `drawn` the demonstrations.

    Raises
    ------
    ModelError
        The tokens of a label are not known.
    """
    example = prompts[0] if prompts else ("?",)
    found = Answers()
    if "labels" in run.answer_kinds:
        labels = list(dict.fromkeys(str(e.label) for e in examples["train"]))
        tokens = label_tokens(encoder, labels, example)
        found = Answers(tokens, _labels_of(labels, examples["train"]))
    if "generate" in run.answer_kinds:
        ends = end_tokens(encoder, _generation(loading), example)
        found = Answers(found.tokens, found.labels_of, tuple(ends))
    return replace(found, demonstrated={} if drawn is None else drawn.facts())


def answer_note(answers: Answers, examples: Sequence[Example]) -> str:
    """Return what answers cost beside the prompts, for a person."""
    parts = []
    if answers.tokens:
        total = sum(answers.suffix_tokens(example.subtask) for example in examples)
        asked = sum(len(answers.labels_of.get(example.subtask, ())) for example in examples)
        count = max(len(examples), 1)
        parts.append(
            f"{asked / count:.1f} labels an example, {total / count:.1f} tokens behind its prompt"
        )
    if answers.ends:
        parts.append(f"up to {MOST_GENERATED} tokens are generated, one pass each")
    return "answers: " + "; ".join(parts)


def _labels_of(
    labels: Sequence[str], train: Sequence[Example]
) -> dict[str | None, tuple[int, ...]]:
    places = {label: place for place, label in enumerate(labels)}
    found: dict[str | None, dict[int, None]] = {}
    for example in train:
        found.setdefault(example.subtask, {})[places[str(example.label)]] = None
    return {subtask: tuple(sorted(own)) for subtask, own in found.items()}


def _generation(loading: ModelOptions) -> GenerationConfig | None:
    try:
        return GenerationConfig.from_pretrained(loading.path, **loading.source)
    except OSError:
        return None
