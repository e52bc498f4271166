"""`preview`: the first examples of both splits, put into prompts, on one page."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from savs.datasets import Benchmark, Example, MediaError, MediaFolder
from savs.datasets.example import SPLIT, split_prompt
from savs.datasets.media.videos import Visual, images_of
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import (
    ModelOptions,
    ProcessorKeywords,
    require_extra,
)
from savs.pipeline.inputs.input_options import InputKeywords, InputOptions
from savs.pipeline.inputs.plugins import choose_benchmark
from savs.pipeline.inputs.source import Source, Splits, temporary_fetching
from savs.pipeline.names import DEFAULT_EXAMPLES
from savs.pipeline.reports.pages.pictures import no_picture, pictures_of
from savs.pipeline.reports.pages.rendering import require_page, write_page
from savs.pipeline.reports.preview.content import (
    SIDE_PX,
    Piece,
    PreviewContent,
    Shown,
    SplitContent,
    Worded,
)
from savs.pipeline.running.options import sort_keywords

if TYPE_CHECKING:
    from savs.pipeline.extraction.model.pieces import Pieces


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
    """Write one HTML page with the first examples of both splits, as the model reads them.

    The page holds its images and needs no network. Without a model, torch is not needed.

    Parameters
    ----------
    benchmark
        Name of a benchmark, path of a Python file with a user's benchmark, or a benchmark.
    out
        The page, `*.html`; one that is there is replaced.
    examples
        Examples of each split that are shown, from the start.
    model
        A Hugging Face id, a folder or `demo`: its processor says what the model reads. Weights are
        not loaded.
    **options
        The fields of `InputOptions` (`train`, `test`, `shots` ...), and those of `ModelOptions`
        that prompts depend on: `revision`, `trust_remote_code`, `placeholders`, `min_pixels`,
        `max_pixels`.

    Returns
    -------
    PreviewContent
        What the page shows.

    Raises
    ------
    DatasetError
        The files cannot be read, or no image at all is there.
    ReportError, OutputError
        `out` is no HTML file, or cannot be written.
    MissingExtraError, ModelError
        A model is given, and transformers is not installed or cannot load its processor.
    """
    inputs, processor = sort_keywords("preview", options, InputOptions, ProcessorKeywords)
    chosen = choose_benchmark(benchmark, columns=inputs.columns, question=inputs.question)
    return write_preview(chosen, inputs, processor, model=model, out=Path(out), examples=examples)


def write_preview(
    benchmark: Benchmark,
    inputs: InputOptions,
    processor: ProcessorKeywords,
    *,
    model: str | Path | None,
    out: Path,
    examples: int,
) -> PreviewContent:
    """Write the page, see `preview`."""
    require_page(out)
    if examples < 1:
        raise ParameterError(f"examples is {examples}, expected at least 1")
    word = None
    if model is not None:
        require_extra()
        from savs.pipeline.reports.preview.rendered_prompt import load_wording

        word = load_wording(ModelOptions(model=model, **processor))
    placeholders = processor.get("placeholders", SPLIT)
    with temporary_fetching(inputs) as fetching:
        source = Source(benchmark, inputs, fetching)
        name = None if model is None else str(model)
        content = gather(source, examples, model=name, placeholders=placeholders, word=word)
    write_page(out, Path(__file__).parent, "preview.html", content=content)
    return content


Worder = Callable[["Pieces"], Worded]
"""A prompt with its images -> what the model reads; ValueError if the processor rejects it."""


def gather(
    source: Source,
    count: int,
    *,
    model: str | None = None,
    placeholders: str,
    word: Worder | None = None,
) -> PreviewContent:
    """Return the first examples of both splits, their images decoded, and counts of all.

    Parameters
    ----------
    source
        The benchmark and its files.
    count
        Examples of each split that are shown.
    model
        Name of the model that `word` speaks for.
    placeholders
        What is done with the marks of images, see `split_prompt`.
    word
        Says what the model reads.

    Raises
    ------
    DatasetError
        The files cannot be read, or no image at all is there.
    """
    examples = source.examples()
    notes = _notes(source, examples)
    options = source.options
    drawn = " (drawn)" if options.shots is not None else ""
    sources = {
        "train": f"{options.train if options.train is not None else options.test}{drawn}",
        "test": str(options.test),
    }
    return PreviewContent(
        benchmark=source.benchmark.name,
        summary=source.benchmark.summary,
        model=model,
        placeholders=placeholders,
        notes=notes,
        splits=tuple(
            SplitContent(
                name=split,
                source=sources[split],
                examples=len(found),
                labels=Counter((e.subtask, e.label) for e in found),
                absent=_absent(found, source.media(split)),
                shown=tuple(
                    _show(e, source.media(split), placeholders, word) for e in found[:count]
                ),
            )
            for split, found in examples.items()
        ),
    )


def _notes(source: Source, examples: Splits) -> tuple[str, ...]:
    """Return the notes of a source that do not name the temporary folder of fetched media."""
    folder = str(source.fetching.folder) if source.fetching and source.fetching.folder else None
    return tuple(n for n in source.notes(examples) if folder is None or folder not in n)


def _absent(examples: Sequence[Example], media: MediaFolder) -> dict[str, str]:
    first = {e.id: next((n for n in e.media if not media.has(n)), None) for e in examples}
    return {identifier: name for identifier, name in first.items() if name is not None}


def _show(example: Example, media: MediaFolder, placeholders: str, word: Worder | None) -> Shown:
    """Return an example with its images in their places; with the reason where it is skipped."""
    visuals, reason = _visuals(example, media)
    pieces: list[Piece] = []
    seen: list[str | Visual] = []
    for piece in split_prompt(example.prompt, len(example.media), placeholders):
        if isinstance(piece, str):
            pieces.append(piece)
            seen.append(piece)
            continue
        name = example.media[piece]
        images = images_of(visuals[name])
        pieces += pictures_of(name, images, SIDE_PX) or [no_picture(name, SIDE_PX)]
        seen += visuals[name]
    if reason is not None or word is None:
        return Shown(example, tuple(pieces), skipped=reason)
    try:
        return Shown(example, tuple(pieces), worded=word(tuple(seen)))
    except (ValueError, IndexError) as error:  # what an extraction skips, too
        return Shown(example, tuple(pieces), skipped=f"the processor rejects it: {error}")


def _visuals(example: Example, media: MediaFolder) -> tuple[dict[str, list[Visual]], str | None]:
    """Return what each medium shows, nothing of an unusable one, and why it is."""
    visuals: dict[str, list[Visual]] = {}
    reason = None
    for name in dict.fromkeys(example.media):
        try:
            visuals[name] = media.visuals(name)
        except MediaError as error:
            visuals[name] = []
            reason = reason or str(error)
    return visuals, reason
