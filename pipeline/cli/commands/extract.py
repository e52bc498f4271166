"""`savs extract`: stage 1 on the command line."""

from pathlib import Path
from typing import Annotated, Any

import typer

from savs.datasets.prompt import SPLIT
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.columns import ColumnsOption, column_options
from savs.pipeline.cli.options.inputs import (
    BenchmarkArgument,
    FetchOption,
    FramesOption,
    GroupsOption,
    LimitOption,
    MediaOption,
    OutsideOption,
    QuestionOption,
    SeedOption,
    ShotsOption,
    TestOption,
    TrainOption,
    parse_shots,
    worded,
)
from savs.pipeline.cli.options.model import (
    AdapterOption,
    AttentionOption,
    CodeOption,
    DeviceOption,
    DtypeOption,
    KwargsOption,
    PlaceholdersOption,
    RevisionOption,
    TrustOption,
    parse_kwargs,
)
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, option
from savs.pipeline.cli.output import print_json, progress, say
from savs.pipeline.extraction.stage import DEFAULT_BATCH_SIZE, Extraction, extract
from savs.pipeline.running.progress import Reporting
from savs.stores.format.layout import DEFAULT_SHARD_ROWS

SKIPS_SHOWN = 10


@column_options
def extract_command(
    benchmark: BenchmarkArgument,
    test: TestOption,
    model: Annotated[str, option(metavar="ID", help="Hugging Face id, folder, or `demo`.")],
    out: Annotated[Path, option(metavar="STORE", help="Folder of the feature store.")],
    train: TrainOption = None,
    shots: ShotsOption = None,
    train_groups: GroupsOption = None,
    question: QuestionOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
    media_root: MediaOption = None,
    video_frames: FramesOption = None,
    allow_outside: OutsideOption = False,
    fetch_urls: FetchOption = False,
    limit: LimitOption = None,
    dry_run: Annotated[
        bool, option("--dry-run", help="Count, time a short probe, write nothing.")
    ] = False,
    batch_size: Annotated[
        int, option(min=1, help="Examples a forward pass at most.")
    ] = DEFAULT_BATCH_SIZE,
    shard_rows: Annotated[
        int, option(min=1, help="Examples a file: what a killed run can lose.")
    ] = DEFAULT_SHARD_ROWS,
    dtype: DtypeOption = "auto",
    revision: RevisionOption = None,
    device: DeviceOption = "auto",
    attention: AttentionOption = None,
    adapter: AdapterOption = None,
    model_code: CodeOption = None,
    model_kwargs: KwargsOption = None,
    trust_remote_code: TrustOption = False,
    placeholders: PlaceholdersOption = SPLIT,
    min_pixels: Annotated[int | None, option(min=1, help="Scale smaller images up to it.")] = None,
    max_pixels: Annotated[int | None, option(min=1, help="Scale larger images down to it.")] = None,
    thumbnails: Annotated[
        bool, option("--thumbnails", help="Keep a small JPEG of each first image.")
    ] = False,
    answers: Annotated[
        str | None,
        option(metavar="labels", help="Keep the logits of the labels, for readout zero-shot."),
    ] = None,
    max_skip: Annotated[
        int, option(min=0, help="Exit with 4 if more examples cannot be read.")
    ] = 0,
    retry_skipped: Annotated[
        bool, option("--retry-skipped", help="Do shards again that skipped examples.")
    ] = False,
    rank: Annotated[int, option(min=0, help="Which of --ranks processes this is.")] = 0,
    ranks: Annotated[int, option(min=1, help="Processes that share the store.")] = 1,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run a model once over train and test examples and store every head's features.

    Run it again to resume: finished shards are left alone.
    """
    if rank >= ranks:
        raise typer.BadParameter(f"--rank {rank} of --ranks {ranks}; ranks count from 0")
    if answers not in (None, "labels"):
        raise typer.BadParameter(f"--answers is {answers!r}, expected: labels")
    chosen = worded(benchmark, question, columns)
    loading: dict[str, Any] = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "attention": attention,
        "adapter": adapter,
        "model_code": model_code,
        "model_kwargs": parse_kwargs(model_kwargs),
        "trust_remote_code": trust_remote_code,
        "placeholders": placeholders,
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
    }
    source: dict[str, Any] = {
        "train": train,
        "test": test,
        "shots": parse_shots(shots, train_groups, seed),
        "model": model,
        "media_root": media_root,
        "video_frames": video_frames,
        "allow_outside": allow_outside,
        "fetch_urls": fetch_urls,
        "limit": limit,
        "batch_size": batch_size,
    }
    if dry_run:
        from savs.pipeline.cli.dry_run import print_estimate

        print_estimate(chosen, out=out, as_json=json, **source, **loading)
        return
    done = extract(
        chosen,
        out=out,
        shard_rows=shard_rows,
        thumbnails=thumbnails,
        answers=answers is not None,
        retry_skipped=retry_skipped,
        rank=rank,
        ranks=ranks,
        reporting=Reporting(say, progress),
        **source,
        **loading,
    )
    if json:
        print_json(_summary(done))
    else:
        print(done.store.path)
    _report_skips(done)
    if len(done.skipped) > max_skip:
        say(
            f"{len(done.skipped)} examples were skipped, --max-skip allows {max_skip}; mend the"
            " images and run again with --retry-skipped, or go on without them: the store is whole"
        )
        raise typer.Exit(exits.TOO_MANY_SKIPPED)


def _summary(done: Extraction) -> dict[str, Any]:
    return {
        "store": str(done.store.path),
        "rows": done.rows,
        "seconds": round(done.seconds, 3),
        "missing_shards": [shard.name for shard in done.store.missing()],
        "skipped": [{"split": s, "id": i, "reason": r} for s, i, r in done.skipped],
    }


def _report_skips(done: Extraction) -> None:
    for split, identifier, reason in done.skipped[:SKIPS_SHOWN]:
        say(f"skipped {split} {identifier}: {reason}")
    if len(done.skipped) > SKIPS_SHOWN:
        say(f"... and {len(done.skipped) - SKIPS_SHOWN} more; `savs show` lists all")
