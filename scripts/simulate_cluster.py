"""Simulate a cluster: many processes claim the shards of one folder, and some of them are killed.

Each process passes for one of a host of its own, so that only its silence tells of its death; the
model is a pause. Time runs faster: a second of the simulation is `1 / --speed-up` of a second, for
shards, signs of life and patience alike.

    python scripts/simulate_cluster.py --work build/simulate-cluster
"""

import argparse
import gc
import json
import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from savs.foundation.files import whole_file
from savs.stores import ShardSpec
from savs.stores.files.object_store import file_names
from savs.stores.write import signs_of_life as signs
from savs.stores.write import writer
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.writer import OpenShards

READY_S = 300
"""How long the ranks may take to be ready; if one fails, the others end then."""
FORK = multiprocessing.get_context("fork")


@dataclass
class Cluster:
    """The shared folder, and what its ranks tell of themselves in another one."""

    folder: Path
    specs: Sequence[ShardSpec]
    ranks: int
    shard_s: float
    """Real seconds that a shard takes."""
    deaths: dict[int, float]
    """Rank -> real seconds after which it is killed."""
    _all_ready: Any = field(init=False)
    _started_s: Any = field(init=False)

    def run(self) -> tuple[float, float]:
        """Run all ranks; return real seconds from when all were ready to the first and last end.

        The first one to find that all is done seals the store.
        """
        for folder in (self.folder, self._reports):
            folder.mkdir(parents=True)
        self._started_s = FORK.Value("d")
        self._all_ready = FORK.Barrier(self.ranks, self._start, READY_S)
        gc.freeze()  # else each rank looks through what it shares with the others, and copies it
        started = [FORK.Process(target=self._work, args=(rank,)) for rank in range(self.ranks)]
        for process in started:
            process.start()
        for process in started:
            process.join()
        ends = [float((self._reports / f"{rank}.end").read_text()) for rank in self._survivors()]
        return min(ends) - self._started_s.value, max(ends) - self._started_s.value

    @property
    def _reports(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-ranks")

    def _survivors(self) -> list[int]:
        return [rank for rank in range(self.ranks) if rank not in self.deaths]

    def _start(self) -> None:
        self._started_s.value = time.monotonic()

    def _work(self, rank: int) -> None:
        signs.process_space = lambda: f"host {rank}"
        with (
            Claims(ClaimFiles(self.folder)) as claims,
            (self._reports / str(rank)).open("w") as report,
        ):
            as_writer: Any = SimpleNamespace(
                path=self.folder, claims=claims, is_done=self._is_done, all_done=self._all_done
            )
            shards = OpenShards(self.specs, [as_writer], rank / self.ranks)
            self._all_ready.wait()
            while shards.wait():
                for spec in shards.claimed():
                    self._compute(rank)
                    is_ours = self._publish(claims, spec)
                    print(spec.name, claims.process.id if is_ours else "", file=report, flush=True)
            (self._reports / f"{rank}.end").write_text(str(time.monotonic()))

    def _compute(self, rank: int) -> None:
        """Pause as long as a shard takes, unless the rank is killed meanwhile."""
        left = self.deaths.get(rank, float("inf")) - (time.monotonic() - self._started_s.value)
        time.sleep(max(min(self.shard_s, left), 0.0))
        if left < self.shard_s:
            os._exit(0)  # as if it was killed: nothing is given back

    def _publish(self, claims: Claims, spec: ShardSpec) -> bool:
        """Publish a shard that holds the id of this process; False where another one has."""
        try:
            with (
                claims.publishing(spec.name) as require_claim,
                whole_file(
                    self.folder / spec.name, replace=False, before_naming=require_claim
                ) as partial,
            ):
                partial.write_text(claims.process.id)
        except (FileExistsError, ClaimLostError):
            claims.release(spec.name)
            return False
        claims.retire(spec.name)
        return True

    def _is_done(self, spec: ShardSpec) -> bool:
        return (self.folder / spec.name).exists()

    def _all_done(self, specs: Mapping[str, ShardSpec]) -> set[str]:
        return file_names(self.folder) & specs.keys()

    def counts(self) -> tuple[int, int]:
        """Return how many shards were published twice, or have another's content, and computed."""
        computed, published = 0, Counter[str]()
        wrong = set[str]()
        for rank in range(self.ranks):
            for line in (self._reports / str(rank)).read_text().splitlines():
                name, _, owner = line.partition(" ")
                computed += 1
                published[name] += bool(owner)
                if owner and (self.folder / name).read_text() != owner:
                    wrong.add(name)
        return len(wrong | {name for name, times in published.items() if times != 1}), computed


@dataclass(frozen=True)
class Outcome:
    """What a simulation counted; seconds are those of the cluster."""

    ranks: int
    shards: int
    deaths: int
    seconds: float
    """Until the first rank found that all is done."""
    last_rank_seconds: float
    """Until the last one did."""
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
    writer.LOOK_EVERY_S /= options.speed_up
    specs = [ShardSpec("train", n, n, n + 1, "") for n in range(options.ranks * options.shards)]
    ideal_s = options.shards * options.shard_seconds
    expected = options.ranks * options.deaths_per_hour * ideal_s / 3600
    count = max(round(expected), 1) if options.deaths_per_hour else 0
    rng = random.Random(options.seed)
    deaths = {
        rank: rng.uniform(0, ideal_s) / options.speed_up
        for rank in rng.sample(range(options.ranks), count)
    }
    cluster = Cluster(
        *(folder / "cluster", specs, options.ranks, options.shard_seconds / options.speed_up),
        deaths,
    )
    seconds, last_s = (real_s * options.speed_up for real_s in cluster.run())
    published_twice, computed = cluster.counts()
    few = specs[: min(2000, len(specs))]
    idle = Cluster(folder / "idle", few, min(16, options.ranks), 0.0, {})
    return Outcome(
        ranks=options.ranks,
        shards=len(specs),
        deaths=count,
        seconds=round(seconds, 1),
        last_rank_seconds=round(last_s, 1),
        ideal_seconds=ideal_s,
        share_of_ideal=round(ideal_s / seconds, 3),
        published_twice=published_twice,
        computed_twice=computed - len(specs),
        claims_per_second=round(len(few) / idle.run()[0]),
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
