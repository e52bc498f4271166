"""Fill a store: shard by shard, each safe on the disk before the next is begun."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from savs.datasets import Example
from savs.pipeline.extraction.checks.disk_space import check_space
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.shard import ShardSettings, extract_shard
from savs.pipeline.inputs.source import Source
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.progress import Reporting
from savs.stores import FeatureWriter, ShardSpec


def fill(
    writer: FeatureWriter,
    wanted: Sequence[ShardSpec],
    model: LoadedModel,
    source: Source,
    examples: Mapping[str, Sequence[Example]],
    settings: ShardSettings,
    reporting: Reporting,
) -> tuple[int, float]:
    """Write the wanted shards; return how many rows they have and the seconds it took."""
    total, safe = sum(spec.rows for spec in wanted), 0
    check_space(writer.path, total, model, reporting)
    started = time.monotonic()
    try:
        with reporting.progress(total) as on_rows:
            for spec in wanted:
                interruption.raise_if_asked()
                rows = writer.manifest.plan.splits[spec.split].rows(spec)
                part = [examples[spec.split][row] for row in rows]
                media = source.media(spec.split)
                content = extract_shard(model, part, media, settings, on_rows)
                writer.write(spec, content)
                safe += 1
                if content.run["halved_batches"]:
                    settings = _smaller(settings, reporting)
    except KeyboardInterrupt:
        interruption.explain(
            reporting.say,
            f"{safe} of {len(wanted)} shards of this run are safe in {writer.path}; run the same"
            " command again to go on",
        )
        raise
    return total, time.monotonic() - started


def _smaller(settings: ShardSettings, reporting: Reporting) -> ShardSettings:
    """Return settings of half the batch size, for what is still to run."""
    size = max(settings.batch_size // 2, 1)
    reporting.say(
        f"batches of {settings.batch_size} did not fit the memory and were run in halves: going on"
        f" with --batch-size {size}"
    )
    return replace(settings, batch_size=size)


def run_record(model: LoadedModel, rank: int, ranks: int) -> dict[str, Any]:
    """Return what a shard records about how it was made."""
    packages = ["savs", "torch", "transformers", "h5py", "numpy", "pillow"]
    packages += ["av"] if find_spec("av") else []
    return {
        "attention": model.model.config._attn_implementation,
        "device": str(model.device),
        "rank": rank,
        "ranks": ranks,
        "versions": {package: version(package) for package in packages},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
