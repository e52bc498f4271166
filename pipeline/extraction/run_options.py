"""How an extraction runs: batches, shards, what is kept beside the heads, and ranks."""

from dataclasses import dataclass
from typing import TypedDict

from savs.foundation.errors import ParameterError

DEFAULT_BATCH_SIZE = 8
DEFAULT_SHARD_ROWS = 256


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions` as keyword arguments."""

    batch_size: int
    shard_rows: int
    thumbnails: bool
    answers: bool
    retry_skipped: bool
    rank: int
    ranks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an extraction runs.

    Raises
    ------
    ParameterError
        `rank` is not below `ranks`.
    """

    batch_size: int = DEFAULT_BATCH_SIZE
    """Examples of a forward pass at most; halved automatically where memory does not suffice."""
    shard_rows: int = DEFAULT_SHARD_ROWS
    """Examples of a shard file at most: what a killed run can lose."""
    thumbnails: bool = False
    """Keep a small JPEG of the first image of each example."""
    answers: bool = False
    """Keep the last position's logits of the first tokens of the training labels, for the model's
    own answer (readout `zero-shot`)."""
    retry_skipped: bool = False
    """Extract finished shards again that skipped an example: its image may be mended by now."""
    rank: int = 0
    """Which of the `ranks` processes this is: it writes each `ranks`-th shard, from `rank` on."""
    ranks: int = 1
    """Processes that share the store."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ParameterError(f"--rank {self.rank} of --ranks {self.ranks}; ranks count from 0")
