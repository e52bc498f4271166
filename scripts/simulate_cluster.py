"""Simulate a cluster: many processes claim the shards of one folder, and some of them die.

Each process is a thread with claims of its own; the model is a pause. Time runs faster: a second of
the simulation is `1 / --speed-up` of a second, for shards, signs of life and patience alike.

    python scripts/simulate_cluster.py --work build/simulate-cluster
"""

import argparse
import json
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from savs.foundation.whole_files import whole_file
from savs.stores import ShardSpec
from savs.stores.files.object_store import file_names
from savs.stores.write import open_shards as working
from savs.stores.write import signs
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.open_shards import OpenShards

READY_S = 300
"""How long the ranks may take to be ready; if one fails, the others end then."""


class MortalClaims(Claims):
    """Claims of a process that may end as if it was killed: nothing is given back."""

    def die(self) -> None:
        """Show no more signs of life."""
        self.signs.stop()
        self._held.clear()
        self._leave = lambda: None  # type: ignore[method-assign]


@dataclass
class Cluster:
    """The shared folder, and what is counted."""

    folder: Path
    specs: Sequence[ShardSpec]
    ranks: int
    shard_s: float
    """Real seconds that a shard takes."""
    deaths: dict[int, float]
    """Rank -> real seconds after which it dies."""
    computed: Counter[str] = field(default_factory=Counter)
    published: dict[str, list[bytes]] = field(default_factory=dict)
    """Shard -> who believes to have published it; its file names the one that did."""
    _count: threading.Lock = field(default_factory=threading.Lock)
    _all_ready: threading.Barrier = field(init=False)
    _started_s: float = field(init=False)

    def run(self) -> float:
        """Run all ranks to the end; return the real seconds from when the last one was ready."""
        self._all_ready = threading.Barrier(self.ranks, self._start, READY_S)
        threads = [threading.Thread(target=self._work, args=(rank,)) for rank in range(self.ranks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - self._started_s

    def _start(self) -> None:
        self._started_s = time.monotonic()

    def _work(self, rank: int) -> None:
        with MortalClaims(ClaimFiles(self.folder)) as claims:
            shards = OpenShards(
                self.specs, claims, self._is_done, self._all_done, self.folder, rank / self.ranks
            )
            self._all_ready.wait()  # each lists all shards: the threads do that one by one
            while shards.wait():
                for spec in shards.claimed():
                    if self._compute(rank):
                        claims.die()
                        return
                    self._publish(claims, spec)

    def _compute(self, rank: int) -> bool:
        """Pause as long as a shard takes; return whether the rank died meanwhile."""
        left = self.deaths.get(rank, float("inf")) - (time.monotonic() - self._started_s)
        time.sleep(max(min(self.shard_s, left), 0.0))
        return left < self.shard_s

    def published_twice(self) -> int:
        """Return how many shards two ranks have published, or have another's content."""
        return sum(
            names != [(self.folder / shard).read_bytes()] for shard, names in self.published.items()
        )

    def _publish(self, claims: Claims, spec: ShardSpec) -> None:
        own, is_ours = claims.process.id.encode(), True
        try:
            with (
                claims.publishing(spec.name) as require_claim,
                whole_file(
                    self.folder / spec.name, replace=False, before_naming=require_claim
                ) as partial,
            ):
                partial.write_bytes(own)
        except (FileExistsError, ClaimLostError):
            is_ours = False
        claims.retire(spec.name)
        with self._count:
            self.computed[spec.name] += 1
            if is_ours:
                self.published.setdefault(spec.name, []).append(own)

    def _is_done(self, spec: ShardSpec) -> bool:
        return (self.folder / spec.name).exists()

    def _all_done(self, specs: Collection[ShardSpec]) -> set[str]:
        return {spec.name for spec in specs} & file_names(self.folder)


@dataclass(frozen=True)
class Outcome:
    """What a simulation counted; seconds are those of the cluster."""

    ranks: int
    shards: int
    deaths: int
    seconds: float
    ideal_seconds: float
    share_of_ideal: float
    published_twice: int
    computed_twice: int
    claims_per_second: float
    """Claims, publications and releases in a real second, with no work between them."""


def simulate(options: argparse.Namespace) -> Outcome:
    """Run a cluster with some work in it, and a part of it without, to count claims."""
    folder = Path(options.work)
    shutil.rmtree(folder, ignore_errors=True)
    signs.STALE_S /= options.speed_up
    signs.BEAT_S /= options.speed_up
    working.LOOK_EVERY_S /= options.speed_up
    specs = [ShardSpec("train", n, n, n + 1, "") for n in range(options.ranks * options.shards)]
    ideal_s = options.shards * options.shard_seconds
    expected = options.ranks * options.deaths_per_hour * ideal_s / 3600
    count = max(round(expected), 1) if options.deaths_per_hour else 0
    rng = random.Random(options.seed)
    deaths = {
        rank: rng.uniform(0, ideal_s) / options.speed_up
        for rank in rng.sample(range(options.ranks), count)
    }
    (folder / "cluster").mkdir(parents=True)
    cluster = Cluster(
        *(folder / "cluster", specs, options.ranks, options.shard_seconds / options.speed_up),
        deaths,
    )
    seconds = cluster.run() * options.speed_up
    (folder / "idle").mkdir()
    few = specs[: min(2000, len(specs))]
    idle = Cluster(folder / "idle", few, min(16, options.ranks), 0.0, {})
    return Outcome(
        ranks=options.ranks,
        shards=len(specs),
        deaths=count,
        seconds=round(seconds, 1),
        ideal_seconds=ideal_s,
        share_of_ideal=round(ideal_s / seconds, 3),
        published_twice=cluster.published_twice(),
        computed_twice=cluster.computed.total() - len(specs),
        claims_per_second=round(len(few) / idle.run()),
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="folder that is made anew")
    parser.add_argument("--ranks", type=int, default=512)
    parser.add_argument("--shards", type=int, default=40, help="shards per rank")
    parser.add_argument("--shard-seconds", type=float, default=30.0)
    parser.add_argument("--deaths-per-hour", type=float, default=0.01, help="share of the ranks")
    parser.add_argument("--speed-up", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    """Print what was counted."""
    print(json.dumps(asdict(simulate(parse())), indent=1))


if __name__ == "__main__":
    main()
