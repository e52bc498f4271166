"""`preview`: the page, written to a file."""

from pathlib import Path
from typing import Unpack

from savs.datasets import Benchmark, SourceError
from savs.datasets.example import SPLIT
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import ModelOptions, ProcessorKeywords
from savs.pipeline.extraction.requirements import require_extra
from savs.pipeline.inputs.input_options import InputKeywords, InputOptions
from savs.pipeline.inputs.plugins import choose_benchmark
from savs.pipeline.inputs.source import Source, temporary_fetching
from savs.pipeline.names import DEFAULT_EXAMPLES
from savs.pipeline.reports.pages.rendering import render
from savs.pipeline.reports.preview.content import PreviewContent
from savs.pipeline.reports.preview.gathering import gather
from savs.pipeline.running.options import sort_keywords
from savs.pipeline.running.output_files import output_files

SUFFIXES = (".html", ".htm")


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
        The files cannot be read, or no image at all is there; or `out` cannot be written.
    MissingExtraError, ModelError
        A model is given, and transformers is not installed or cannot load its processor.
    """
    inputs, processor = sort_keywords("preview", options, InputOptions, ProcessorKeywords)
    chosen = choose_benchmark(benchmark, columns=inputs.columns, question=inputs.question)
    return write_page(chosen, inputs, processor, model=model, out=Path(out), examples=examples)


def write_page(
    benchmark: Benchmark,
    inputs: InputOptions,
    processor: ProcessorKeywords,
    *,
    model: str | Path | None,
    out: Path,
    examples: int,
) -> PreviewContent:
    """Write the page, see `preview`."""
    if out.suffix.lower() not in SUFFIXES or out.is_dir():
        raise SourceError(f"{out} is not an HTML file; pass an --out that ends in .html")
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
    with output_files({"out": out}, force=True) as paths:
        page = render(Path(__file__).parent, "preview.html", content=content)
        paths["out"].write_text(page, encoding="utf-8")
    return content
