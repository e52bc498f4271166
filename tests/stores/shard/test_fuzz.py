"""Whatever happens to a shard's bytes, each read gives the values that were written, or a refusal.

The files are read in processes of their own, so that a crash or a hang inside HDF5 is a failure
like any other, with the seed of its file.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fuzzing
import pytest
from fuzzing import metadata_places, mutate
from shard_files import rewrite

from savs.stores import ShardContent, ShardSpec, StoreError, open_store, open_writer
from savs.stores.maintain.verify import verify
from stores import planned

pytestmark = pytest.mark.thorough

BATCH = fuzzing.BATCH
BATCHES = [
    pytest.param(first, marks=pytest.mark.slow if first else (), id=f"seed {first}")
    for first in range(0, 10_000, BATCH)
]
BATCH_TIMEOUT_S = 600
"""Many times what a batch takes; one file takes milliseconds."""


def read_batch(folder: Path, first: int, stop: int) -> dict[int, str]:
    """Return seed -> outcome, going on after each file that ends the reading process."""
    outcomes: dict[int, str] = {}
    support = str(Path(fuzzing.__file__).parent)
    while first < stop:
        fuzzing.write_original(folder / str(first))
        process = subprocess.Popen(
            [sys.executable, fuzzing.__file__, str(folder / str(first)), str(first), str(stop)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": support, "PYTHONFAULTHANDLER": "1"},
        )
        try:
            output, errors = process.communicate(timeout=BATCH_TIMEOUT_S)
            end = f"ended the process with {process.returncode}: {errors[-2000:]}"
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            end = f"did not end within {BATCH_TIMEOUT_S} s"
        lines = [line.split(" ", 1) for line in output.splitlines()]
        outcomes |= {int(line[0]): line[1] if len(line) == 2 else end for line in lines}
        if process.returncode == 0:
            break
        assert lines, end
        first = int(lines[-1][0]) + 1
    return outcomes


@pytest.mark.parametrize("first", BATCHES)
def test_a_mutated_shard_is_refused_or_reads_as_it_was_written(
    tmp_path, first, record_property
) -> None:
    outcomes = read_batch(tmp_path, first, first + BATCH)
    assert sorted(outcomes) == list(range(first, first + BATCH))
    wrong = {seed: text for seed, text in outcomes.items() if text not in ("whole", "refused")}
    record_property("tried", len(outcomes))
    record_property("failed", len(wrong))
    assert wrong == {}
    refused = sum(text == "refused" for text in outcomes.values())
    assert BATCH // 2 < refused < BATCH  # the mutations neither miss nor break every file


def test_mutations_are_the_same_for_a_seed_and_half_of_them_hit_metadata(tmp_path) -> None:
    fuzzing.write_original(tmp_path)
    data = (tmp_path / fuzzing.SHARD).read_bytes()
    places = metadata_places(tmp_path / fuzzing.SHARD)
    assert 0 < len(places) < len(data)
    for seed in range(24):  # each kind of mutation twice, both aims
        mutated = mutate(data, places, seed)
        assert mutated != data
        assert mutated == mutate(data, places, seed)
    odd = mutate(data, places, 1)  # flips in metadata alone
    assert {i for i in range(len(data)) if odd[i] != data[i]} <= set(places.tolist())


def test_whatever_keeps_a_store_from_being_sealed_is_found_by_verify(tmp_path) -> None:
    fuzzing.write_original(tmp_path)
    rewrite(tmp_path / fuzzing.SHARD, lambda table: table["attributes"].update(run="{"))
    store, plan = open_store(tmp_path), {"train": planned("train", fuzzing.ROWS)}
    with (
        open_writer(tmp_path, store.manifest.identity, plan) as writer,
        pytest.raises(StoreError, match="attribute run is damaged"),
    ):
        writer.seal()
    assert [problem.kind for problem in verify(tmp_path).problems] == ["damaged"]


def test_a_changed_byte_in_the_name_of_an_optional_column_is_found(tmp_path, toy) -> None:
    content = toy.content

    def with_thumbnails(spec: ShardSpec) -> ShardContent:
        found = content(spec)
        thumbnails = {"thumbnail": [b"jpeg"] * len(found.examples["id"])}
        return replace(found, examples={**found.examples, **thumbnails})

    toy.content = with_thumbnails
    toy.write(tmp_path, only=1)  # no seal, whose SHA-256 would find it
    assert "thumbnail" in open_store(tmp_path).examples("train").columns
    path = tmp_path / "train-00000.h5"
    data = path.read_bytes()
    for name in (b"thumbnail\0", b"/thumbnail"):  # in HDF5, in the index
        assert name in data
        path.write_bytes(data.replace(name, name.replace(b"l", b"m")))
        assert "damaged" in {problem.kind for problem in verify(tmp_path).problems}
