"""How far a store is, and who writes to it: what `savs show` prints while an extraction runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from savs.stores.format.manifest import Manifest
from savs.stores.read.shards import shard_sizes
from savs.stores.write import signs_of_life as signs
from savs.stores.write.claim_files import claim_storage
from savs.stores.write.signs_of_life import Process, has_ended

GONE = "gone"
LEAST_S = 0.001
"""Less time says nothing about a rate."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that writes to a store, by its last sign."""

    process: str
    """Such as `process 77 on node3`."""
    rank: int | None
    device: str | None
    state: str
    """What it does; `gone` where it has ended, or is silent for too long."""
    rows: int
    """Examples that it has computed."""
    unwritten: int
    """Of those, examples of shards that it has not finished."""
    per_second: float
    last_sign_s: float


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """How far a store is."""

    rows: int
    """Examples that are done."""
    planned: int
    """Examples of the complete store."""
    writers: tuple[Writer, ...]

    @property
    def per_second(self) -> float:
        """Examples that all live writers do in a second."""
        return sum(writer.per_second for writer in self.writers if writer.state != GONE)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end; None if nobody has done anything."""
        return (self.planned - self.rows) / self.per_second if self.per_second else None

    def to_json(self) -> dict[str, Any]:
        """Return the form that `savs show --json` prints."""
        rates = {"per_second": self.per_second, "seconds_left": self.seconds_left}
        return asdict(self) | rates


def store_progress(folder: Any, manifest: Manifest) -> StoreProgress:
    """Return how far a store is, by its shards and by what its writers say."""
    storage = claim_storage(folder)
    timed_signs = [
        (p, sign, written_s)
        for p, sign in signs.read_signs(storage)
        if (written_s := storage.written_s(p.id + signs.SIGN)) is not None
    ]
    now = storage.now_s() if timed_signs else 0.0  # by the clock that wrote the signs, not by ours
    writers = tuple(
        _writer(p, sign, max(now - written_s, 0.0)) for p, sign, written_s in timed_signs
    )
    written = shard_sizes(folder, manifest).keys()
    in_work = sum(writer.unwritten for writer in writers if writer.state != GONE)
    rows = {spec.name: spec.rows for spec in manifest.plan.shards()}
    planned = sum(rows.values())
    done = sum(rows[name] for name in written & rows.keys())
    return StoreProgress(min(done + in_work, planned), planned, writers)


def _writer(process: Process, sign: Mapping[str, Any], age_s: float) -> Writer:
    """Return what a sign says; its content may be anything."""
    rows, seconds = _number(sign.get("rows")), _number(sign.get("seconds"))
    gone = has_ended(process) or age_s > signs.STALE_S
    rank, device = sign.get("rank"), sign.get("device")
    return Writer(
        process=str(process),
        rank=rank if isinstance(rank, int) else None,
        device=device if isinstance(device, str) else None,
        state=GONE if gone else str(sign.get("state", "starting")),
        rows=int(rows),
        unwritten=max(int(rows - _number(sign.get("written"))), 0),
        per_second=rows / seconds if seconds >= LEAST_S else 0.0,
        last_sign_s=age_s,
    )


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 2**53 else 0.0
