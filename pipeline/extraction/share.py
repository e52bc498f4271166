"""What one process does of a run that several share, as it tells the others and shows the user."""

import time
from dataclasses import dataclass, field

from savs.stores import FeatureWriter, ShardContent, ShardSpec
from savs.stores.write.open_shards import OpenShards


@dataclass
class Share:
    """The rows of a run that this process does, and those that others have done."""

    writer: FeatureWriter
    shards: OpenShards
    rows: int = 0
    """Rows that this process has written."""
    _done: int = 0
    """Rows that it has computed."""
    _told: int = 0
    """Rows of others that were told."""
    _started_s: float = field(default_factory=time.monotonic)

    def write(self, spec: ShardSpec, content: ShardContent) -> None:
        """Write a shard; nothing happens where another process has finished it meanwhile."""
        if self.writer.write(spec, content):
            self.rows += spec.rows

    def tell(self, rows: int) -> int:
        """Take note of rows that are done; return them and those that others did meanwhile."""
        self._done += rows
        self.writer.claims.note(
            "extracting" if rows else "waiting",
            rows=self._done,
            written=self.rows,
            seconds=round(time.monotonic() - self._started_s, 1),
        )
        others, self._told = self.shards.others_rows - self._told, self.shards.others_rows
        return rows + others
