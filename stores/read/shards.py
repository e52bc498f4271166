"""The shards of a store that is being read; each must stay the same while it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from savs.stores.errors import StoreMismatchError
from savs.stores.format.manifest import Manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.read.facts import shard_sizes
from savs.stores.shard.read import Shard, open_shard


@dataclass(frozen=True, slots=True)
class Shards:
    """A store's shards, opened one at a time."""

    folder: Any
    """The store's folder or URL."""
    manifest: Manifest
    _seen: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Name of a shard -> its fingerprint at the first look."""
    _found: dict[ShardSpec, bool] = field(default_factory=dict, repr=False, compare=False)
    """Each planned shard, and whether it had its file at the first look."""

    def present(self, split: str | None = None, *, missing: bool = False) -> list[ShardSpec]:
        """Return the planned shards of a split, or of all, that have a file; or that have none.

        The first look counts. A shard that comes while the store is read stays out: examples that
        were read before would be paired with other rows.
        """
        if not self._found:
            sizes = shard_sizes(self.folder, self.manifest)
            specs = self.manifest.plan.shards()
            self._found.update({spec: spec.name in sizes for spec in specs})
        asked = [spec for spec in self._found if split in (None, spec.split)]
        return [spec for spec in asked if self._found[spec] != missing]

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
        with open_shard(self.folder / spec.name, spec, self.manifest) as shard:
            if self._seen.setdefault(spec.name, shard.fingerprint) != shard.fingerprint:
                raise StoreMismatchError(
                    f"{self.folder / spec.name} changed while it was read, perhaps by `savs extract"
                    " --retry-skipped`; run this command again"
                )
            yield shard
