import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from claimants import elsewhere, ended, leave_claim, leave_unfinished, show_sign

from savs.stores import StoreLockedError, StoreWriteError
from savs.stores.write import signs_of_life as signs
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.signs_of_life import has_ended, this_process

NAME = "train-00000.h5"


@pytest.fixture
def claimants(tmp_path) -> Iterator[list[Claims]]:
    """Return three claimants of one folder, as three processes have them."""
    with ExitStack() as stack:
        yield [stack.enter_context(Claims(ClaimFiles(tmp_path))) for _ in range(3)]


class Clock:
    """The time by which processes judge each other; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def pass_by(self, claims: Claims, seconds: float) -> None:
        """Let time pass, in which a process shows that it was awake."""
        self.now_s += seconds
        claims.signs._beat()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of all claimants in a test, whose own beats never come."""
    clock = Clock()
    monkeypatch.setattr(
        signs, "time", SimpleNamespace(**vars(time) | {"monotonic": lambda: clock.now_s})
    )
    monkeypatch.setattr(signs, "BEAT_S", 3600.0)
    return clock


def files(folder: Path) -> set[str]:
    """Return the claims in a folder, without the signs."""
    names = (path.name for path in (folder / "claims").iterdir())
    return {name for name in names if not name.endswith(".rank")}


def test_one_of_many_gets_a_claim(tmp_path) -> None:
    with ExitStack() as stack:
        many = [stack.enter_context(Claims(ClaimFiles(tmp_path))) for _ in range(12)]
        for turn in range(20):
            start, won = threading.Barrier(len(many)), []

            def claim(one: Claims, turn: int = turn, start=start, won=won) -> None:
                start.wait()
                if one.take(f"train-{turn:05d}.h5"):
                    won.append(one)

            threads = [threading.Thread(target=claim, args=(one,)) for one in many]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_kept_until_it_is_given_back(tmp_path, claimants) -> None:
    first, second, _ = claimants
    assert first.take(NAME)
    assert first.take(NAME)
    assert not second.take(NAME)
    assert (first.holds(NAME), second.holds(NAME)) == (True, False)
    assert second.holder(NAME) == first.process
    with pytest.raises(StoreLockedError, match=f"{NAME} is being written by process {os.getpid()}"):
        second.require(NAME)
    first.release(NAME)
    assert not first.holds(NAME)
    assert second.take(NAME)
    assert files(tmp_path) == {f"{NAME}.0"}


def test_what_a_dead_process_claimed_is_taken_at_once(tmp_path, claimants) -> None:
    leave_claim(tmp_path, NAME, ended())
    unfinished = leave_unfinished(tmp_path, NAME)
    other = leave_unfinished(tmp_path, "train-00001.h5")
    assert claimants[0].take(NAME)
    assert not claimants[1].take(NAME)
    assert files(tmp_path) == {f"{NAME}.0", f"{NAME}.1"}
    assert not unfinished.exists()
    assert other.exists()
    claimants[0].release(NAME)
    assert files(tmp_path) == set()


def test_an_equal_number_in_another_container_is_another_process(tmp_path, claimants) -> None:
    mine = this_process()
    theirs = replace(mine, space="another", started="0")
    assert has_ended(replace(mine, started="0"))
    assert not has_ended(theirs)
    leave_claim(tmp_path, NAME, theirs)
    assert not claimants[0].take(NAME)


def test_silence_is_counted_on_the_clock_of_who_waits(tmp_path, clock) -> None:
    far = elsewhere()
    leave_claim(tmp_path, NAME, far)
    sign = show_sign(tmp_path, far)
    with Claims(ClaimFiles(tmp_path)) as claims:
        for beat in range(30):  # each look finds a new sign: whatever the time, it lives
            show_sign(tmp_path, far, beat)
            os.utime(sign, (hour := time.time() - 3600, hour))
            clock.pass_by(claims, signs.STALE_S / 4)
            assert not claims.take(NAME)
        os.utime(sign, (hour := time.time() + 3600, hour))  # its clock is ahead, and it is silent
        for _ in range(3):
            clock.pass_by(claims, signs.STALE_S / 4)
            assert not claims.take(NAME)
        clock.pass_by(claims, signs.STALE_S / 4)
        assert claims.take(NAME)
        claims.sweep()
        assert not sign.exists()


def test_processes_watch_each_other_before_anybody_is_idle(tmp_path, clock) -> None:
    far = elsewhere()
    leave_claim(tmp_path, NAME, far)
    show_sign(tmp_path, far)
    with Claims(ClaimFiles(tmp_path)) as claims:
        claims.signs._watch()
        assert claims.left_by_others([NAME]) == set()
        for _ in range(4):
            clock.pass_by(claims, signs.STALE_S / 4)
        claims.signs._watch()
        assert claims.left_by_others([NAME]) == {NAME}
        assert claims.take(NAME)
        assert claims.left_by_others([NAME]) == set()


@pytest.mark.parametrize("dead", ["here", "elsewhere"])
def test_the_dead_do_not_keep_a_process_from_watching_the_living(tmp_path, clock, dead) -> None:
    """More are dead than one watches; who ends after them is still found."""
    for number in range(signs.WATCHED + 2):
        process = ended() if dead == "here" else elsewhere()
        show_sign(tmp_path, replace(process, id=f"a-{number:02d}-00000000"))
    last = replace(elsewhere(), id="b-1-00000000")
    show_sign(tmp_path, last)
    leave_claim(tmp_path, NAME, last)
    with Claims(ClaimFiles(tmp_path)) as claims:
        for _ in range(12):
            claims.signs._watch()
            clock.pass_by(claims, signs.STALE_S / 4)
        assert claims.left_by_others([NAME]) == {NAME}


def test_a_claim_that_says_nothing_is_taken_over_in_the_end(tmp_path, clock) -> None:
    leave_claim(tmp_path, NAME, ended()).write_text("")
    with Claims(ClaimFiles(tmp_path)) as claims:
        assert not claims.take(NAME)
        for _ in range(4):
            assert not claims.take(NAME)
            clock.pass_by(claims, signs.STALE_S / 4)
        assert claims.take(NAME)


def test_a_process_that_was_asleep_itself_says_nothing_of_others(tmp_path, monkeypatch) -> None:
    far = elsewhere()
    leave_claim(tmp_path, NAME, far)
    show_sign(tmp_path, far)
    now = time.monotonic()
    with Claims(ClaimFiles(tmp_path)) as claims:
        assert not claims.take(NAME)
        monkeypatch.setattr(time, "monotonic", lambda: now + 10_000)
        assert not claims.take(NAME)


def test_who_lost_a_claim_can_neither_publish_nor_release(tmp_path, claimants) -> None:
    first, second, _ = claimants
    assert first.take(NAME)
    leave_claim(tmp_path, NAME, second.process, generation=1)  # as if it had taken over
    with pytest.raises(ClaimLostError), first.publishing(NAME) as require_claim:
        require_claim()
    with pytest.raises(ClaimLostError), first.publishing(NAME):
        raise FileNotFoundError("the unfinished file was removed")
    first.release(NAME)
    assert files(tmp_path) == {f"{NAME}.0", f"{NAME}.1"}


def test_a_file_that_is_gone_otherwise_is_an_error(claimants) -> None:
    assert claimants[0].take(NAME)
    with pytest.raises(FileNotFoundError), claimants[0].publishing(NAME):
        raise FileNotFoundError("the folder was removed")


def test_a_claim_that_was_given_back_while_it_was_taken_over_counts(
    tmp_path, claimants, monkeypatch
) -> None:
    first, second, third = claimants
    left = leave_claim(tmp_path, NAME, ended())
    create = ClaimFiles.create

    def come_between(files: ClaimFiles, name: str, data: bytes) -> bool:
        monkeypatch.undo()
        left.unlink()  # its holder was not dead: it gave the claim back, and another one took it
        assert third.take(NAME)
        return create(files, name, data)

    monkeypatch.setattr(ClaimFiles, "create", come_between)
    assert not first.take(NAME)
    assert third.holds(NAME)
    assert not second.take(NAME)


def test_a_claim_that_nobody_has_any_more_is_taken_the_next_time(
    tmp_path, claimants, monkeypatch
) -> None:
    left = leave_claim(tmp_path, NAME, ended())
    create = ClaimFiles.create

    def come_between(files: ClaimFiles, name: str, data: bytes) -> bool:
        if name == f"{NAME}.1":
            left.unlink()  # its holder was not dead, and gives the claim back
        return create(files, name, data)

    monkeypatch.setattr(ClaimFiles, "create", come_between)
    assert not claimants[0].take(NAME)
    assert claimants[0].names() == set()
    assert claimants[1].take(NAME)


def test_an_older_claim_that_was_given_back_late_makes_no_room(tmp_path, claimants) -> None:
    """Its holder saw no newer claim, fell asleep, was taken over twice, and removed its own."""
    first, second, third = claimants
    leave_claim(tmp_path, "store.json", third.process, generation=2)
    assert first.take("train-00001.h5")
    assert not first._take_newest("store.json")
    assert files(tmp_path) == {"store.json.2", "train-00001.h5.0"}
    leave_claim(tmp_path, NAME, first.process, generation=1)
    assert not second.take(NAME)  # the newer one is seen once it is there
    assert files(tmp_path) >= {f"{NAME}.1"}


LEFT = [(1,), (2,), (1, 2), (0, 2), (0, 1, 3)]


@pytest.mark.parametrize("left", LEFT, ids=str)
def test_claims_of_one_that_was_killed_while_it_gave_them_back_end_nobody(
    tmp_path, claimants, left
) -> None:
    """It had removed some of them: the others are taken over, or are in nobody's way."""
    first, second, third = claimants
    for generation in left:
        leave_claim(tmp_path, NAME, ended(), generation)
        leave_claim(tmp_path, "store.json", ended(), generation)
    assert first.take(NAME)
    assert not second.take(NAME)
    assert first.holds(NAME)
    assert second._take_newest("store.json")
    assert not third._take_newest("store.json")
    assert second.holds("store.json")
    assert f"store.json.{left[-1] + 1}" in files(tmp_path)
    second.release("store.json")
    assert third._take_newest("store.json")
    leave_claim(tmp_path, "train-00001.h5", third.process, left[-1])
    assert not second._take_newest("train-00001.h5")  # of one that lives it stays


@pytest.mark.parametrize("left", LEFT, ids=str)
def test_gaps_between_claims_are_passed_again_and_again(tmp_path, claimants, left) -> None:
    for generation in left:
        leave_claim(tmp_path, NAME, ended(), generation)
    for claims in claimants:
        assert claims.take(NAME)
        held = claims._held.pop(NAME)  # it is killed
        leave_claim(tmp_path, NAME, ended(), held)


def test_threads_of_a_process_hold_a_name_one_after_the_other(claimants) -> None:
    claims, inside, most = claimants[0], [], []

    def hold() -> None:
        for _ in range(20):
            with claims.hold("store.json"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=hold) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (60, 1)


def test_a_sweep_removes_all_claims_of_who_is_gone_and_none_of_others(tmp_path, claimants) -> None:
    for generation in range(2):
        leave_claim(tmp_path, NAME, ended(), generation)
    leave_claim(tmp_path, "train-00001.h5", elsewhere())
    claimants[0].sweep()
    assert files(tmp_path) == {"train-00001.h5.0"}


def test_links_and_pipes_among_claims_are_not_followed(tmp_path, claimants) -> None:
    (tmp_path / "mine").write_text("mine")
    folder = tmp_path / "claims"
    (folder / f"{NAME}.0").symlink_to(tmp_path / "mine")
    os.mkfifo(folder / "train-00001.h5.0")
    (folder / "x.rank").symlink_to("/dev/zero")
    assert not claimants[0].take(NAME)
    assert not claimants[0].take("train-00001.h5")
    claimants[0].sweep()
    assert (tmp_path / "mine").read_text() == "mine"
    for path in (folder / f"{NAME}.0", folder / "train-00001.h5.0", folder / "x.rank"):
        path.unlink()


def sign_of(folder: Path, **fields) -> str:
    """Return the text of a sign that a stranger wrote; by its host it is one of this one."""
    return json.dumps(this_process().to_json() | {"started": "0", "id": "x-7-0a1b2c3d"} | fields)


STRANGE = {
    "a path as id": ("x.rank", lambda folder: sign_of(folder, id="../../victim")),
    "an absolute path as id": ("x.rank", lambda folder: sign_of(folder, id=f"{folder}/victim")),
    "the id of another file": ("y-7-0a1b2c3d.rank", sign_of),
    "a great number": ("x-7-0a1b2c3d.rank", lambda folder: sign_of(folder, pid=10**30)),
    "brackets": ("x.rank", lambda _: "[" * 60_000),
    "brackets in a field": (
        "x-7-0a1b2c3d.rank",
        lambda folder: sign_of(folder)[:-1] + ', "z": ' + "[" * 30_000 + "]" * 30_000 + "}",
    ),
    "a generation far away": (f"{NAME}.999999999999", sign_of),
    "a generation of 5,000 digits": (f"{NAME}.{'9' * 200}", sign_of),
    "digits of another script": (f"{NAME}.\u0663", sign_of),
}


@pytest.mark.parametrize("strange", STRANGE, ids=STRANGE)
def test_what_a_stranger_left_among_claims_neither_removes_files_nor_ends_a_run(
    tmp_path, strange
) -> None:
    name, text = STRANGE[strange]
    store = tmp_path / "deep" / "store"
    (store / "claims").mkdir(parents=True)
    for victim in (tmp_path, tmp_path / "deep", store):
        (victim / "victim.rank").write_text("of the user")
    (store / "claims" / name).write_text(text(store))
    with Claims(ClaimFiles(store)) as claims:
        claims.signs._watch()
        with claims.hold(NAME):
            assert claims.holds(NAME)
        claims.sweep()
        signs.read_signs(claims._storage)
    assert len(list(tmp_path.rglob("victim.rank"))) == 3


def test_folders_among_claims_end_no_run(tmp_path, claimants) -> None:
    for name in (f"{NAME}.0", "x-7-0a1b2c3d.rank", "y"):
        (tmp_path / "claims" / name).mkdir()
    assert not claimants[0].take(NAME)
    assert claimants[0].take("train-00001.h5")
    claimants[0].sweep()
    claimants[0].signs._watch()
    assert signs.read_signs(claimants[0]._storage) != []


def test_the_last_generation_says_what_to_do(tmp_path) -> None:
    with Claims(ClaimFiles(tmp_path)) as claims:
        leave_claim(tmp_path, NAME, ended(), 999)
        with (
            pytest.raises(StoreWriteError, match=r"remove its folder claims"),
            claims.hold(NAME),
        ):
            pass
