"""`preview`: the first examples of both splits, put into prompts, on one page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from savs.datasets import Benchmark, Example, MediaError, MediaFolder
from savs.datasets.example import KEEP, SPLIT, split_prompt
from savs.datasets.media_kinds.catalogue import Decoded
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import (
    ModelOptions,
    ProcessorKeywords,
    require_extra,
)
from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
from savs.pipeline.inputs.input_options import InputKeywords, InputOptions
from savs.pipeline.inputs.source import Source, temporary_fetching
from savs.pipeline.names import DEFAULT_EXAMPLES
from savs.pipeline.reports.pages.pictures import Picture, no_picture, pictures_of
from savs.pipeline.reports.pages.rendering import require_page, write_page
from savs.pipeline.running.options import sort_keywords

if TYPE_CHECKING:
    from savs.pipeline.reports.preview.rendered_prompt import Worded, Wording


SIDE_PX = 320
"""Largest width and height of an image on the page."""
MOST_LABELS = 60
"""Most rows of the table of labels."""
MOST_ABSENT = 10
"""Most examples with missing media that are listed."""


Piece = str | Picture
"""A part of a prompt, in reading order."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One example."""

    example: Example
    pieces: tuple[Piece, ...]
    skipped: str | None = None
    """Why it would be skipped."""
    worded: "Worded | None" = None
    """The rendered prompt, if a model was given."""

    @property
    def facts(self) -> dict[str, str]:
        """Group, subtask and category, where the example has them."""
        names = ("group", "subtask", "category")
        values = {name: getattr(self.example, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SplitContent:
    """One split."""

    name: str
    source: str
    examples: int
    labels: Mapping[tuple[str | None, str | None], int]
    """Subtask and label -> examples, in order of first appearance."""
    absent: Mapping[str, str]
    """Id of each example with a missing medium -> the medium."""
    shown: tuple[Shown, ...]

    @property
    def has_subtasks(self) -> bool:
        """Whether the table of labels has a column of subtasks."""
        return any(subtask is not None for subtask, _ in self.labels)

    @property
    def named_absent(self) -> list[str]:
        """Lines about the first examples with missing media."""
        named = [f"{identifier}: {name}" for identifier, name in self.absent.items()]
        more = len(named) - MOST_ABSENT
        return named[:MOST_ABSENT] + ([f"and {more:,} more"] if more > 0 else [])


@dataclass(frozen=True, slots=True)
class PreviewContent:
    """The whole page."""

    benchmark: str
    summary: str
    model: str | None
    placeholders: str
    notes: tuple[str, ...]
    """Leaks, labels that training lacks."""
    splits: tuple[SplitContent, ...]

    @property
    def title(self) -> str:
        """The names of the files or folders that the examples come from."""
        return ", ".join(dict.fromkeys(Path(split.source).name for split in self.splits))

    @property
    def reading(self) -> str:
        """How the prompts are shown."""
        prompts = f"prompts as {self.model} reads them" if self.model else "prompts and labels"
        kept_note = "; all images first, placeholders kept in the text"
        return prompts + (kept_note if self.placeholders == KEEP else "")


MOST = 200
"""Examples of each split that are shown if there are as many classes."""


class PreviewKeywords(InputKeywords, ProcessorKeywords, total=False):
    """Further keyword arguments of `preview`."""


def preview(
    benchmark: str | Path | Benchmark,
    *,
    out: str | Path,
    examples: int = DEFAULT_EXAMPLES,
    model: str | Path | None = None,
    **options: Unpack[PreviewKeywords],
) -> PreviewContent:
    """Write one HTML page with examples of every class of both splits, as the model reads them.

    The page `out`, `*.html`, holds its images and needs no network; one that is there is replaced.
    `benchmark` is a name, the path of a user's Python file, or an object; of each split `examples`
    are shown, of each class in turn. The processor of `model`, a Hugging Face id, a folder or
    `demo`, says what the model reads: weights are not loaded, and without it torch is not needed.
    Options are the fields of `InputOptions`, and those of `ModelOptions` that prompts depend on.

    DatasetError if the files cannot be read, or no image at all is there; ParameterError or
    OutputError if `out` is no HTML file, or cannot be written; MissingExtraError or ModelError if
    the processor of a model cannot be loaded.
    """
    inputs, processor = sort_keywords("preview", options, InputOptions, ProcessorKeywords)
    chosen = choose_benchmark(
        benchmark, columns=inputs.columns, question=inputs.question, labels=inputs.labels
    )
    if model is None and processor:
        raise ParameterError(f"`{next(iter(processor))}` is about a model; give `model`, too")
    loading = None if model is None else ModelOptions(model=model, **processor)
    return write_preview(chosen, inputs, loading, out=Path(out), examples=examples)


def write_preview(
    benchmark: Benchmark,
    inputs: InputOptions,
    model: ModelOptions | None,
    *,
    out: Path,
    examples: int,
) -> PreviewContent:
    """Write the page, see `preview`."""
    require_page(out)
    if examples < 1:
        raise ParameterError(f"`examples` is {examples}, expected at least 1")
    word = None
    if model is not None:
        require_extra()
        from savs.pipeline.reports.preview.rendered_prompt import load_wording

        word = load_wording(model)
    placeholders = SPLIT if model is None else model.placeholders
    with temporary_fetching(inputs) as fetching:
        source = Source(benchmark, inputs, fetching)
        name = None if model is None else str(model.model)
        content = _gather(source, examples, model=name, placeholders=placeholders, word=word)
    here = Path(__file__).parent
    write_page(out, here, "preview.html", content=content, most_labels=MOST_LABELS)
    return content


def _gather(
    source: Source, count: int, *, model: str | None, placeholders: str, word: "Wording | None"
) -> PreviewContent:
    """Return the first examples of both splits, their images decoded, and counts of all."""
    examples = source.examples()
    folder = str(source.fetching.folder) if source.fetching and source.fetching.folder else None
    # without the name of the temporary folder of fetched media
    notes = tuple(n for n in source.notes(examples) if folder is None or folder not in n)
    drawn = {"train": " (drawn)"} if source.options.draw is not None else {}
    return PreviewContent(
        benchmark=source.benchmark.name,
        summary=source.benchmark.summary,
        model=model,
        placeholders=placeholders,
        notes=notes,
        splits=tuple(
            SplitContent(
                name=split,
                source=f"{source.given(split)}{drawn.get(split, '')}",
                examples=len(rows),
                labels=Counter((e.subtask, e.label) for e in rows),
                absent={
                    e.id: name
                    for e in rows
                    if (name := next((n for n in e.media if not media.has(n)), None))
                },
                shown=tuple(
                    _show(e, media, placeholders, word) for e in each_class_in_turn(rows, count)
                ),
            )
            for split, rows in examples.items()
            for media in [source.media(split)]
        ),
    )


def each_class_in_turn(examples: Sequence[Example], count: int) -> list[Example]:
    """Return some examples: the first of each class of each subtask, then the second of each."""
    by_class: dict[tuple[str | None, str | None], list[Example]] = {}
    for example in examples:
        by_class.setdefault((example.subtask, example.label), []).append(example)
    count = max(count, min(len(by_class), MOST))  # at least one of each class
    turns = zip_longest(*by_class.values())
    return [example for turn in turns for example in turn if example is not None][:count]


def _show(example: Example, media: MediaFolder, placeholders: str, word: "Wording | None") -> Shown:
    """Return an example with its images in their places; with the reason if it is skipped."""
    decoded, reason = _decoded(example, media, word)
    pieces: list[Piece] = []
    seen: list[str | Decoded] = []
    for piece in split_prompt(example.prompt, len(example.media), placeholders):
        if isinstance(piece, str):
            pieces.append(piece)
            seen.append(piece)
            continue
        name = example.media[piece]
        pieces += pictures_of(name, decoded[piece], SIDE_PX) or [no_picture(name, SIDE_PX)]
        seen += decoded[piece]
    if reason is not None or word is None:
        return Shown(example, tuple(pieces), skipped=reason)
    try:
        return Shown(example, tuple(pieces), worded=word(tuple(seen)))
    except (ValueError, IndexError) as error:  # what an extraction skips, too
        return Shown(example, tuple(pieces), skipped=f"the processor rejects it: {error}")


def _decoded(
    example: Example, media: MediaFolder, word: "Wording | None"
) -> tuple[list[list[Decoded]], str | None]:
    """Return what each medium shows, nothing of an unusable one, and why it is."""
    decoded: list[list[Decoded]] = []
    reason = None
    for name, column in zip(example.media, example.columns, strict=True):
        rules = media.rules if word is None else word.encoder.decoding(media.rules, column)
        try:
            decoded.append(media.decode(name, column, rules))
        except MediaError as error:
            decoded.append([])
            reason = reason or str(error)
    return decoded, reason
