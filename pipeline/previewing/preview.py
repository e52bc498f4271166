"""`preview`: the page, written to a file."""

from collections.abc import Mapping
from pathlib import Path

from savs.datasets import Benchmark, Shots, SourceError
from savs.datasets.media.download import temporary_fetching
from savs.datasets.media.media import MediaRules
from savs.datasets.prompt import SPLIT
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.stage import require_extra
from savs.pipeline.inputs.source import Source
from savs.pipeline.plugins.benchmark import choose_benchmark
from savs.pipeline.previewing.content import PreviewContent
from savs.pipeline.previewing.gathering import gather
from savs.pipeline.previewing.page import render
from savs.pipeline.running.output_files import output_files

SUFFIXES = (".html", ".htm")
DEFAULT_EXAMPLES = 20


def preview(
    benchmark: str | Path | Benchmark,
    *,
    test: str | Path,
    out: str | Path,
    train: str | Path | None = None,
    shots: Shots | None = None,
    columns: Mapping[str, str] | None = None,
    question: str | None = None,
    media_root: str | Path | None = None,
    video_frames: int | None = None,
    allow_outside: bool = False,
    fetch_urls: bool = False,
    limit: int | None = None,
    examples: int = DEFAULT_EXAMPLES,
    model: str | None = None,
    revision: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    trust_remote_code: bool = False,
    placeholders: str = SPLIT,
) -> PreviewContent:
    """Write one HTML page with the first examples of both splits, as a model would meet them.

    The page holds its images and needs no network. Without a model, torch is not needed.

    Parameters
    ----------
    benchmark, test, train, shots, columns, question, media_root, video_frames, allow_outside
        As `extract` takes them, `fetch_urls` and `limit` too.
    out
        The page, `*.html`; one that is there is replaced.
    examples
        Examples of each split that are shown, from the start.
    model
        A Hugging Face id, a folder or `demo`: its processor says what the model reads. Weights are
        not loaded.
    revision, min_pixels, max_pixels, trust_remote_code, placeholders
        As `load_model` takes them.

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
    target = Path(out)
    if target.suffix.lower() not in SUFFIXES or target.is_dir():
        raise SourceError(f"{out} is no name of a page; give --out a file that ends in .html")
    if examples < 1:
        raise ParameterError(f"examples is {examples}, expected at least 1")
    chosen = choose_benchmark(benchmark, columns=columns, question=question)
    root = None if media_root is None else Path(media_root)
    word = None
    if model is not None:
        require_extra()
        from savs.pipeline.previewing.rendered_prompt import load_wording

        word = load_wording(
            model,
            revision=revision,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            trust_remote_code=trust_remote_code,
            placeholders=placeholders,
        )
    with temporary_fetching(wanted=fetch_urls) as fetching:
        rules = MediaRules(video_frames, allow_outside, fetching)
        source = Source(chosen, train, test, root, limit, shots, rules)
        content = gather(source, examples, model=model, placeholders=placeholders, word=word)
    with output_files({"--out": target}, force=True) as paths:
        paths["--out"].write_text(render(content), encoding="utf-8")
    return content
