"""What a store holds and how complete it is, from store.json and file sizes alone."""

from pathlib import Path
from typing import Any

from savs.stores.files.paths import is_remote
from savs.stores.format.layout import RESULTS
from savs.stores.format.manifest import Manifest


def store_facts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the facts that `savs show` prints, ready for JSON."""
    shards, grid = manifest.plan.shards(), manifest.identity.grid
    present = [shard.name for shard in shards if has_shard(folder, manifest, shard.name)]
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
        "missing_shards": [s.name for s in shards if s.name not in present],
        "bytes": sum(_size(folder, manifest, name) for name in present),
        "sealed": manifest.sealed,
        "runs": [dict(run) for run in manifest.runs],
        "results": []
        if is_remote(folder)
        else sorted(p.parent.name for p in folder.glob(f"{RESULTS}/*/metrics.json")),
    }


def has_shard(folder: Path, manifest: Manifest, name: str) -> bool:
    """Return whether a planned shard has its file; of a finished remote store all have."""
    if is_remote(folder) and manifest.sealed:
        return True
    return (folder / name).exists()


def _size(folder: Path, manifest: Manifest, name: str) -> int:
    if is_remote(folder) and manifest.sealed:
        return next(shard.bytes for shard in manifest.shards if shard.name == name)
    return (folder / name).stat().st_size
