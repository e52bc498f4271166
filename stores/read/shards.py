"""The shards of a store that is being read; each must stay the same while it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from savs.stores.errors import StoreMismatchError
from savs.stores.format.manifest import Manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.read import Shard, open_shard


@dataclass(frozen=True, slots=True)
class Shards:
    """A store's shards, opened one at a time."""

    folder: Any
    """The store's folder or URL."""
    manifest: Manifest
    _seen: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Name of a shard -> its fingerprint when it was first opened."""

    @contextmanager
    def open(self, spec: ShardSpec) -> Iterator[Shard]:
        """Open a shard, checked against the plan.

        Raises
        ------
        StoreMismatchError
            It was written again since it was first opened, so rows read then may not be its rows
            now.
        StoreCorruptError, StoreReadError
            It is damaged, or cannot be read.
        """
        with open_shard(self.folder / spec.name, spec, self.manifest.identity) as shard:
            if self._seen.setdefault(spec.name, shard.fingerprint) != shard.fingerprint:
                raise StoreMismatchError(
                    f"{self.folder / spec.name} changed while it was read, perhaps by `savs extract"
                    " --retry-skipped`; run this command again"
                )
            yield shard
