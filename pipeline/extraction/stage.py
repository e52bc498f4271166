"""Stage 1, `extract`: run a model once over all examples, store every head's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.datasets import Benchmark, Example, Shots, unknown_labels
from savs.datasets.media.download import Fetching
from savs.datasets.media.media import MediaRules
from savs.pipeline.errors import MissingExtraError
from savs.pipeline.evaluation.first_tokens import alike
from savs.pipeline.extraction.batches.plan import planned_rows
from savs.pipeline.inputs.source import Source
from savs.pipeline.plugins.benchmark import choose_benchmark
from savs.pipeline.running.progress import SILENT, Reporting
from savs.stores import (
    FeatureStore,
    open_store,
    open_writer,
)
from savs.stores.format.layout import DEFAULT_SHARD_ROWS

if TYPE_CHECKING:
    from savs.pipeline.extraction.model.loaded_model import LoadedModel
DEFAULT_BATCH_SIZE = 8
EXTRA_PACKAGES = ("torch", "transformers", "accelerate")


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extraction left on disk."""

    store: FeatureStore
    rows: int
    """Examples that this run did."""
    seconds: float
    """Time that they took, loading the model not counted."""
    skipped: list[tuple[str, str, str]]
    """`(split, id, reason)` of every skipped example in the store."""


def extract(
    benchmark: str | Path | Benchmark,
    *,
    train: str | Path | None = None,
    test: str | Path,
    model: str,
    out: str | Path,
    columns: Mapping[str, str] | None = None,
    question: str | None = None,
    shots: Shots | None = None,
    media_root: str | Path | None = None,
    video_frames: int | None = None,
    allow_outside: bool = False,
    fetch_urls: bool = False,
    limit: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    shard_rows: int = DEFAULT_SHARD_ROWS,
    thumbnails: bool = False,
    answers: bool = False,
    retry_skipped: bool = False,
    rank: int = 0,
    ranks: int = 1,
    reporting: Reporting = SILENT,
    **loading: Any,
) -> Extraction:
    """Run a model over a benchmark's examples and write every head's last-token features.

    A store that is there already is resumed: shards that have their file are left alone.

    Parameters
    ----------
    benchmark
        Name of a benchmark, path of a Python file with one of your own, or a benchmark.
    train, test
        Input files of the two splits: a file, a folder of Parquet files, a pattern with `*`, or
        `hf://owner/name`.
    model
        A Hugging Face id, a local folder, or `demo`.
    out
        Folder of the store.
    columns
        Field of `general` -> the column that holds it: `{"question": "prompt"}`.
    question
        The prompt of every row, for files of `general` without questions, and for `image-folder`.
    shots
        How training examples are drawn: from `train`, or, without it, from `test`, of which the
        others are then tested.
    media_root
        Folder of the images; each input file's own folder by default.
    video_frames
        Frames that stand for a video, evenly spaced in time; 8 by default.
    allow_outside
        Whether names of media may lead out of `media_root`.
    fetch_urls
        Whether media at an http or https address are fetched; they are kept beside the store, in
        a folder of its name with `.fetched` behind it.
    limit
        Examples a split, from the start; all by default. Raising it later extends the store.
    batch_size
        Examples a forward pass at most; halved by itself where memory does not suffice.
    shard_rows
        Examples a shard file at most: what a killed run can lose.
    thumbnails
        Keep a small JPEG of each example's first image.
    answers
        Keep the last position's logits of the training labels' first tokens, for the model's own
        answer (readout `zero-shot`).
    retry_skipped
        Do finished shards again that skipped an example: their images may be mended by now.
    rank, ranks
        This process does each `ranks`-th shard, from `rank` on.
    reporting
        What hears messages and progress.
    **loading
        `revision`, `dtype`, `device`, `attention`, `min_pixels`, `max_pixels`, `adapter` and what
        else `load_model` takes.

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    DatasetError, ModelError, StoreError
        What was given does not work; shards that were finished before stay.
    """
    require_extra()
    from savs.pipeline.extraction.model.extra_outputs import Outputs, first_tokens
    from savs.pipeline.extraction.model.load import load_model
    from savs.pipeline.extraction.shard import ShardSettings
    from savs.pipeline.extraction.shard_loop import fill, run_record

    chosen = choose_benchmark(benchmark, columns=columns, question=question)
    root = None if media_root is None else Path(media_root)
    fetching = Fetching(Path(f"{Path(out)}.fetched")) if fetch_urls else None
    rules = MediaRules(video_frames, allow_outside, fetching)
    source = Source(chosen, train, test, root, limit, shots, rules)
    examples = source.examples()
    for line in (
        *unknown_labels(examples["train"], examples["test"]),
        *source.survey(examples),
        *source.leaks(examples).summary(),
    ):
        reporting.say(line)
    reporting.say(f"loading {model}")
    loaded = load_model(model, **loading)
    facts = {"name": chosen.name, "options": dict(chosen.options)}
    plan = {split: planned_rows(found) for split, found in examples.items()}
    labels = dict.fromkeys(str(e.label) for e in examples["train"]) if answers else {}
    outputs = Outputs(first_tokens(loaded.processor, list(labels)))
    for reason in _alike_labels(examples["train"], outputs.answers):
        reporting.say(f"zero-shot will leave out: {reason}")
    with open_writer(
        Path(out),
        loaded.identity(facts, outputs, source.video_frames(examples)),
        plan,
        shard_rows=shard_rows,
        rank=rank,
        ranks=ranks,
    ) as writer:
        if writer.takeover:
            reporting.say(writer.takeover)
        wanted = writer.missing() + (writer.reopen_skipped() if retry_skipped else [])
        size = batch_size
        if wanted and batch_size > 1:
            size = _safe_batch_size(loaded, source, examples, batch_size, reporting)
        run = run_record(loaded, rank, ranks)
        settings = ShardSettings(size, thumbnails, outputs, run)
        rows, seconds = fill(writer, wanted, loaded, source, examples, settings, reporting)
        writer.seal()
    store = open_store(out)
    return Extraction(store, rows, seconds, _skips(store))


def _safe_batch_size(
    model: "LoadedModel",
    source: Source,
    examples: Mapping[str, Sequence[Example]],
    batch_size: int,
    reporting: Reporting,
) -> int:
    """Return the batch size, or 1 where a few examples differ between a batch and alone."""
    from savs.pipeline.extraction.checks.preflight import precheck

    check = precheck(model, source, examples)
    if check is None or check.passed:
        return batch_size
    reporting.say(
        f"batches change this model's features ({check.what}): running single examples instead;"
        " savs check-model says more"
    )
    return 1


def _alike_labels(train: Sequence[Example], tokens: Mapping[str, int]) -> list[str]:
    """Return why the model's own answers cannot tell the labels apart, one line a subtask."""
    labels: dict[str | None, dict[str, None]] = {}
    for example in train if tokens else ():
        labels.setdefault(example.subtask, {})[str(example.label)] = None
    found = [alike(subtask, names, tokens) for subtask, names in labels.items()]
    return [reason for reason in found if reason]


def require_extra() -> None:
    """Raise MissingExtraError with the install command where stage 1 cannot run."""
    missing = [name for name in EXTRA_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"extraction needs {', '.join(missing)}; install with: pip install 'savs[extract]'"
            " (in a copy of the repository: pip install '.[extract]')"
        )


def _skips(store: FeatureStore) -> list[tuple[str, str, str]]:
    return [
        row
        for split in store.manifest.plan.splits
        if not store.missing(split)
        for row in store.skipped(split).select("split", "id", "reason").iter_rows()
    ]
