"""What a store holds and how complete it is, from store.json and file sizes alone."""

from pathlib import Path
from typing import Any

from savs.stores.files.paths import is_remote
from savs.stores.files.raw_file import size_bytes
from savs.stores.format.layout import RESULTS
from savs.stores.format.manifest import Manifest


def store_facts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the facts that `savs show` prints, ready for JSON."""
    shards, grid = manifest.plan.shards(), manifest.identity.grid
    sizes = shard_sizes(folder, manifest)
    return {
        "path": str(folder),
        "model": dict(manifest.identity.model),
        "processor": dict(manifest.identity.processor),
        "benchmark": dict(manifest.identity.benchmark),
        "dtype": manifest.identity.dtype,
        "layers": len(grid),
        "heads": sum(len(layer.heads) for layer in grid),
        "head_dims": sorted({layer.head_dim for layer in grid}),
        "planned": {split: len(plan.ids) for split, plan in manifest.plan.splits.items()},
        "shards": len(shards),
        "missing_shards": [s.name for s in shards if s.name not in sizes],
        "bytes": sum(sizes.values()),
        "sealed": manifest.sealed,
        "runs": [dict(run) for run in manifest.runs],
        "results": []
        if is_remote(folder)
        else sorted(p.parent.name for p in folder.glob(f"{RESULTS}/*/metrics.json")),
    }


def shard_sizes(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Return the size in bytes of each planned shard that has its file.

    A finished remote store is believed: it has all that store.json lists.
    """
    if is_remote(folder) and manifest.sealed:
        return {shard.name: shard.bytes for shard in manifest.shards}
    names = [shard.name for shard in manifest.plan.shards()]
    sizes = {name: size_bytes(folder / name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}
