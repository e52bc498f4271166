"""What a store is of and how far it is, from store.json and file sizes alone."""

from pathlib import Path
from typing import Any

from savs.stores.layout import RESULTS
from savs.stores.manifest import Manifest


def store_facts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the facts that `savs show` prints, as JSON can hold them."""
    shards, grid = manifest.plan.shards(), manifest.identity.grid
    present = [folder / shard.name for shard in shards if (folder / shard.name).exists()]
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
        "missing_shards": [s.name for s in shards if not (folder / s.name).exists()],
        "bytes": sum(path.stat().st_size for path in present),
        "sealed": manifest.sealed,
        "runs": [dict(run) for run in manifest.runs],
        "results": sorted(p.parent.name for p in folder.glob(f"{RESULTS}/*/metrics.json")),
    }
