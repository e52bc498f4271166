"""An extraction killed at any moment leaves a store that can be resumed to the same bits."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from input_folder import Inputs
from victim import Order, Victims, warm_victims

from savs.stores import FeatureStore, StoreNotFoundError, open_store
from savs.stores.maintain.repair import repair
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.costly

SPLITS = ("train", "test")
SHARDS = 12
LONG = (pytest.mark.slow, pytest.mark.timeout(1800))


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    """Start the warm process; it costs seconds, each extraction then well under one."""
    with warm_victims() as started:
        yield started


@pytest.fixture(scope="module")
def extraction(tmp_path_factory) -> dict[str, Any]:
    """Return the arguments of an extraction of 24 images into `SHARDS` shards, without `out`."""
    train, test = Inputs(tmp_path_factory.mktemp("inputs")).few_shots(train=8, test=16)
    return {"train": str(train), "test": str(test), "shard_rows": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def measured(
    victims: Victims, extraction: dict[str, Any], tmp_path_factory
) -> tuple[FeatureStore, float]:
    """Return an uninterrupted store and how long a warm run took to make it again."""
    folders = [tmp_path_factory.mktemp("measured") / name for name in ("whole", "again")]
    ends = [victims.run(Order(extraction | {"out": str(folder)})) for folder in folders]
    whole, again = map(open_store, folders)
    assert whole.manifest.sealed
    check_equal(again, whole)  # else nothing could be said of a resumed one
    return whole, ends[-1].seconds


def check_whatever_is_there(folder: Path) -> int:
    """Check what a killed run left; return its number of finished shards."""
    try:
        store = open_store(folder)
    except StoreNotFoundError:
        assert not list(folder.glob("*.h5"))
        return 0
    problems = [p for p in verify(folder).problems if p.kind not in ("missing", "left-over")]
    assert problems == []
    finished = {path.name for path in folder.glob("*.h5")}
    planned = [spec.name for spec in store.manifest.plan.shards()]
    assert [s.name for s in store.missing()] == [name for name in planned if name not in finished]
    return len(finished)


def check_equal(resumed: FeatureStore, whole: FeatureStore) -> None:
    """Check that two stores hold the same features, bit for bit, and the same examples."""
    for split in SPLITS:
        found, expected = (store.features(split, raw=True) for store in (resumed, whole))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert resumed.examples(split).equals(whole.examples(split))


def check_nothing_stays_for_ever(folder: Path) -> None:
    """Check that a finished store has no problem but left-overs, and that repair ends them."""
    problems = verify(folder).problems
    assert {p.kind for p in problems} <= {"left-over"}
    assert set(repair(folder).removed) == {p.file for p in problems}
    assert verify(folder).problems == ()
    assert {path.suffix for path in folder.iterdir()} == {".h5", ".json"}


def finish(victims: Victims, extraction: dict[str, Any], whole: FeatureStore) -> None:
    """Run a killed extraction to its end and compare it with an uninterrupted one."""
    folder = Path(extraction["out"])
    assert victims.run(Order(extraction)).code == 0
    assert open_store(folder).manifest.sealed
    check_equal(open_store(folder), whole)
    check_nothing_stays_for_ever(folder)


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=LONG)])
def test_killed_at_random_moments_it_resumes_to_the_same_bits(
    victims, extraction, measured, tmp_path, kills
) -> None:
    """The first kill of a folder comes after some shard, the others whenever the clock says."""
    rng = np.random.default_rng(kills)
    whole, span_s = measured
    done = halfway = folders = 0
    while done < kills:
        order = extraction | {"out": str(tmp_path / f"killed-{folders}")}
        folders += 1
        moments = [{"step": int(rng.integers(4)), "shards": int(rng.integers(1, SHARDS - 1))}]
        moments += [{"delay_s": rng.uniform(0, span_s)} for _ in range(rng.choice((0, 0, 1, 3)))]
        for moment in moments:
            end = victims.run(Order(order, **moment))
            halfway += 0 < check_whatever_is_there(Path(order["out"])) < SHARDS
            if end.code == 0:  # the machine is faster now, or its work was done before
                break
            assert end.code == -signal.SIGKILL
            done += 1
        finish(victims, order, whole)
    assert halfway >= folders


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=LONG)])
def test_killed_before_any_change_of_its_folder_it_resumes_to_the_same_bits(
    victims, extraction, tmp_path, stride
) -> None:
    few = extraction | {"shard_rows": 8}  # three shards take all the steps that twelve do
    assert victims.run(Order(few | {"out": str(tmp_path / "whole")})).code == 0
    whole = open_store(tmp_path / "whole")
    step, struck = stride // 2, 0
    while True:
        order = few | {"out": str(tmp_path / f"step-{step}")}
        end = victims.run(Order(order, step=step))
        if end.code == 0:
            break
        assert end.code == -signal.SIGKILL
        struck += 1
        check_whatever_is_there(tmp_path / f"step-{step}")
        finish(victims, order, whole)
        step += stride
    assert struck * stride >= 3 * 3  # at least create, link and remove for each shard


def test_ended_by_sigterm_it_leaves_nothing_behind_and_resumes(
    victims, extraction, measured, tmp_path
) -> None:
    whole, _ = measured
    for attempt in range(5):  # Python drops an interrupt that meets a destructor, about 1 of 40
        folder = tmp_path / f"ended-{attempt}"
        order = extraction | {"out": str(folder)}
        end = victims.run(Order(order, signal=signal.SIGTERM, step=attempt, shards=SHARDS // 2))
        if end.code != 0:
            break
    assert end.code == 130
    assert check_whatever_is_there(folder) < SHARDS
    assert {path.suffix for path in folder.iterdir()} <= {".h5", ".json"}
    finish(victims, order, whole)
