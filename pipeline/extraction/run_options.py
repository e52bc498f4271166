"""How an extraction runs: batches, workers, shards, and what is kept beside the heads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.class_names import LABELS

DEFAULT_BATCH_SIZE = 32
BATCH_CHECKS = ("strict", "warn", "off")
REUSES = ("auto", "off")
ANSWER_KINDS = ("labels", "generate")


class BatchKeywords(TypedDict, total=False):
    """The fields of `RunOptions` that say how examples run; `classify` also takes them."""

    batch_size: int | None
    batch_tokens: int | None
    batch_check: str | None
    reuse: str | None
    workers: int | None


class RunKeywords(BatchKeywords, total=False):
    """The fields of `RunOptions` as keyword arguments."""

    shard_rows: int | None
    thumbnails: bool
    answers: str | None
    icl_shots: int | None
    heads_from: str | Path | None
    retry_skipped: bool
    classes: str | Path | None
    templates: str | Path | None
    append: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an extraction runs.

    Raises
    ------
    ParameterError
        A value is out of its range.
    """

    batch_size: int | None = None
    """Examples of a forward pass at most. By default 32, or as the store was begun: the same for
    the next three."""
    batch_tokens: int | None = None
    """Tokens of a forward pass at most, padding included; by default what fits the GPU's memory, as
    measured, and 4,096 on a CPU. What does not fit is run in pieces."""
    batch_check: str | None = None
    """Whether a few examples are compared, alone and in a batch: with `strict`, the default,
    examples run one by one where batches change them, with `warn` that is only said, with `off`
    nothing is compared."""
    reuse: str | None = None
    """Whether prompts about the same images share what is computed of them: with `auto`, the
    default, where a few examples show that features stay the same, with `off` never."""
    workers: int | None = None
    """Processes that decode images and make the model's inputs; 0 does it in this process. By
    default the cores that this process may use, and 0 without a GPU or for a few hundred
    examples."""
    shard_rows: int | None = None
    """Examples of a shard file at most: what a killed run can lose. By default as in the store that
    is there, else 16 to 256: so that there are enough shards for many processes."""
    thumbnails: bool = False
    """Keep a small JPEG of the first image of each example."""
    answers: str | None = None
    """What is kept of the model's own answers: `labels`, the log-likelihood of each training label
    (readout `zero-shot`), `generate`, a short greedy text (readout `generated`), or both, joined by
    a comma."""
    icl_shots: int | None = None
    """In-context learning: so many training examples of each class are shown as chat turns before
    each test prompt, and the labels' likelihoods are kept (readout `icl`) beside those without.
    Needs `answers` `labels`."""
    heads_from: str | Path | None = None
    """Folder of a selection, see `savs select`: its heads are kept and no others."""
    retry_skipped: bool = False
    """Extract finished shards again that skipped an example: its image may be mended by now."""
    append: bool = False
    """Add the examples to those of the store that is there. Those that it has already, by id and
    content, are left out."""
    classes: str | Path | None = None
    """Keep what the model makes of each class's name, in a split `classes`: `labels`, those of the
    training examples, or a file of names, which makes training examples unnecessary. A dual encoder
    always does."""
    templates: str | Path | None = None
    """A file with a text a line in which `{class}` stands for the class's name: what a dual encoder
    compares images with, beside the benchmark's own texts."""

    @property
    def names_classes(self) -> bool:
        """Whether a file names the classes, so that no training example has to."""
        return self.classes is not None and str(self.classes) != LABELS

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_tokens", "shard_rows", "icl_shots"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}, expected at least 1")
        if self.workers is not None and self.workers < 0:
            raise ParameterError(f"workers is {self.workers}, expected 0 or more")
        if not set(self.answer_kinds) <= set(ANSWER_KINDS):
            raise ParameterError(
                f"answers is {self.answers!r}, expected {', '.join(ANSWER_KINDS)}, or both with a"
                " comma"
            )
        if self.icl_shots is not None and "labels" not in self.answer_kinds:
            raise ParameterError("icl_shots needs the labels' likelihoods; add answers labels")
        for name, known in (("batch_check", BATCH_CHECKS), ("reuse", REUSES)):
            value = getattr(self, name)
            if value not in (None, *known):
                raise ParameterError(f"{name} is {value!r}, expected one of {', '.join(known)}")

    @property
    def answer_kinds(self) -> tuple[str, ...]:
        """The kinds of answers that are kept, of `ANSWER_KINDS`."""
        return () if self.answers is None else tuple(self.answers.split(","))
