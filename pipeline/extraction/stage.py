"""Stage 1: run a model once over all examples and store the features of every head."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from savs.datasets import Benchmark, Example
from savs.datasets.media.download import Fetching
from savs.pipeline.evaluation.first_tokens import alike
from savs.pipeline.extraction.batches.plan import planned_rows
from savs.pipeline.extraction.checks.preflight import precheck
from savs.pipeline.extraction.extraction import Extraction, skipped_examples
from savs.pipeline.extraction.model.extra_outputs import first_tokens
from savs.pipeline.extraction.model.load import load
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.extraction.shard import ShardSettings
from savs.pipeline.extraction.shard_loop import fill, run_record
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, Splits
from savs.pipeline.running.progress import Reporting
from savs.stores import open_store, open_writer


def run_extraction(
    benchmark: Benchmark,
    inputs: InputOptions,
    model: ModelOptions,
    run: RunOptions,
    *,
    out: Path,
    reporting: Reporting,
) -> Extraction:
    """Write the features of a benchmark's examples into a store, see `extract`."""
    fetching = Fetching(Path(f"{out}.fetched")) if inputs.fetch_urls else None
    source = Source(benchmark, inputs, fetching)
    examples = source.examples()
    for line in source.notes(examples):
        reporting.say(line)
    reporting.say(f"loading {model.model}")
    loaded = load(model)
    labels = dict.fromkeys(str(e.label) for e in examples["train"])
    answers = first_tokens(loaded.processor, list(labels)) if run.answers else {}
    for reason in _alike_labels(examples["train"], answers):
        reporting.say(f"zero-shot will leave out: {reason}")
    facts = {"name": benchmark.name, "options": dict(benchmark.options)}
    with open_writer(
        out,
        loaded.identity(facts, answers, source.video_frames(examples)),
        {split: planned_rows(found) for split, found in examples.items()},
        shard_rows=run.shard_rows,
        rank=run.rank,
        ranks=run.ranks,
    ) as writer:
        if writer.takeover:
            reporting.say(writer.takeover)
        wanted = writer.missing() + (writer.reopen_skipped() if run.retry_skipped else [])
        size = run.batch_size
        if wanted and size > 1:
            size = _safe_batch_size(loaded, source, examples, size, reporting)
        record = run_record(loaded, run.rank, run.ranks)
        settings = ShardSettings(size, run.thumbnails, answers, record)
        rows, seconds = fill(writer, wanted, loaded, source, examples, settings, reporting)
        writer.seal()
    store = open_store(out)
    return Extraction(store, rows, seconds, skipped_examples(store))


def _safe_batch_size(
    model: LoadedModel, source: Source, examples: Splits, batch_size: int, reporting: Reporting
) -> int:
    """Return the batch size, or 1 where a few examples differ between a batch and alone."""
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
