"""What one process does of a run that several share, as it tells the others and shows the user."""

import time

from savs.pipeline.extraction.shard_files import StoredShards
from savs.stores import FeatureWriter, ShardContent, ShardSpec
from savs.stores.write.writer import OpenShards


class Share(StoredShards):
    """The shards of a run that this process makes, and the rows that others have done."""

    def __init__(self, writer: FeatureWriter, shards: OpenShards) -> None:
        super().__init__(writer)
        self.rows = 0
        """Rows that this process has written."""
        self._shards = shards
        self._done = self._told = 0
        """Rows that it has computed, and rows of others that were told."""
        self._started_s = time.monotonic()

    def write(self, spec: ShardSpec, content: ShardContent) -> bool:
        """Write a shard; nothing happens where another process has finished it meanwhile."""
        is_ours = super().write(spec, content)
        self.rows += spec.rows if is_ours else 0
        return is_ours

    def tell(self, rows: int, *, waits: bool = False) -> int:
        """Take note of rows that are done; return them and those that others did meanwhile.

        `waits` says that this process found no free shard.
        """
        self._done += rows
        self.writer.claims.signs.note(
            "waiting" if waits else "extracting",
            rows=self._done,
            written=self.rows,
            seconds=round(time.monotonic() - self._started_s, 1),
        )
        others, self._told = self._shards.others_rows - self._told, self._shards.others_rows
        return rows + others
