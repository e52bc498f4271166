"""A new store of others has store.json last: what a killed writer left is begun again."""

import time
from itertools import count
from pathlib import Path

import pytest
from claimants import elsewhere, leave_claim, show_sign

from savs.pipeline.running.result_files import write_file, writing
from savs.stores import FeatureStore, StoreLockedError, StoreMismatchError, open_store
from savs.stores.format.layout import CARD, CLAIMS, MANIFEST
from savs.stores.format.manifest import write_manifest
from savs.stores.maintain.copy import slim
from savs.stores.maintain.verify import verify
from savs.stores.write import opening
from savs.stores.write import signs_of_life as signs
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims
from savs.stores.write.opening import BEGUN, claim_begun
from savs.stores.write.writer import FeatureWriter


@pytest.fixture
def full(tmp_path, toy) -> FeatureStore:
    toy.write(tmp_path / "full")
    return open_store(tmp_path / "full")


@pytest.fixture
def killed(tmp_path, full, monkeypatch) -> Path:
    """Return the folder of a slim store as its writer leaves it that is killed before the seal."""
    out = tmp_path / "slim"
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWriter, "sealed", interrupted)
        leave_all(patch)
        with pytest.raises(KeyboardInterrupt):
            slim(full, [(0, 0)], out, before_seal=keep)
    monkeypatch.setattr(signs, "process_has_ended", lambda *_: True)
    assert (out / "results/x").read_text() == "kept"  # before the store is whole
    assert not (out / MANIFEST).exists()
    return out


def leave_all(patch: pytest.MonkeyPatch) -> None:
    """Let a writer leave what one leaves that is killed."""
    patch.setattr(opening, "remove_noted", lambda _: None)
    patch.setattr(opening, "remove_empty", lambda _: None)
    patch.setattr(Claims, "_leave", lambda _: None)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def keep(store: FeatureStore) -> None:
    (store.path / "results").mkdir(exist_ok=True)
    (store.path / "results/x").write_text("kept")
    (store.path / CARD).write_text("kept")


def test_the_same_command_begins_it_again(full, killed) -> None:
    (killed / "train-00000.h5").write_bytes(b"of other features")
    made = slim(full, [(0, 0)], killed, before_seal=keep)
    assert made.manifest.sealed
    assert verify(killed).problems == ()
    assert not (killed / CLAIMS).exists()


def test_results_and_card_of_the_killed_run_go(full, killed) -> None:
    assert slim(full, [(0, 0)], killed).manifest.sealed
    assert not (killed / "results").exists()
    assert not (killed / CARD).exists()


def test_an_interruption_of_the_second_run_leaves_nothing(full, killed, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWriter, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            slim(full, [(0, 0)], killed)
    assert list(killed.iterdir()) == []
    assert slim(full, [(0, 0)], killed).manifest.sealed


def test_an_interruption_removes_no_shard_of_others(tmp_path, full, monkeypatch) -> None:
    out = tmp_path / "slim"

    def joined(*_):
        (out / "train-00000.h5").write_bytes(b"of a process that joined")
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureWriter, "write", joined)
    with pytest.raises(KeyboardInterrupt):
        slim(full, [(0, 0)], out)
    assert {path.name for path in out.iterdir()} == {"train-00000.h5"}


def test_an_interruption_of_the_first_look_leaves_what_is_there(
    tmp_path, full, monkeypatch
) -> None:
    (tmp_path / "slim").mkdir()
    write_manifest(tmp_path / "slim", full.manifest)
    monkeypatch.setattr(opening, "_require_empty", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slim(full, [(0, 0)], tmp_path / "slim")
    assert (tmp_path / "slim" / MANIFEST).exists()


def test_a_writer_on_another_host_is_not_waited_for(tmp_path, monkeypatch) -> None:
    other, beats = elsewhere(), count(2)
    leave_claim(tmp_path, BEGUN, other)
    show_sign(tmp_path, other)

    def beat(_):
        number = next(beats)
        assert number < 9, "waits for it"
        show_sign(tmp_path, other, number)

    with Claims(ClaimFiles(tmp_path)) as claims:
        monkeypatch.setattr(time, "sleep", beat)
        with pytest.raises(StoreLockedError, match="is being written by process 7"):
            claim_begun(tmp_path, claims)


def test_another_command_begins_it_again(full, killed) -> None:
    (killed / "train-00099.h5").write_bytes(b"of a larger plan")
    assert slim(full, [(2, 1)], killed).heads == [(2, 1)]
    assert verify(killed).problems == ()


@pytest.mark.parametrize("name", ["features.h5", "notes.txt", MANIFEST])
def test_what_no_writer_of_a_new_store_wrote_stays(full, killed, name) -> None:
    (killed / name).write_text("mine")
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(0, 0)], killed)
    assert (killed / name).read_text() == "mine"


def test_without_its_claim_it_is_nobody_s_to_remove(full, killed, listing) -> None:
    before = listing(killed)
    for claim in (killed / CLAIMS).glob(f"{BEGUN}.*"):
        claim.unlink()  # as in the store of an extraction
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(0, 0)], killed)
    assert {n: listing(killed)[n] for n in before if n.endswith(".h5")} == {
        n: before[n] for n in before if n.endswith(".h5")
    }


def test_claims_alone_are_as_good_as_nothing(full, killed) -> None:
    for path in [*killed.glob("*.h5"), killed / "results/x", killed / CARD]:
        path.unlink()
    (killed / "results").rmdir()
    assert slim(full, [(2, 1)], killed).manifest.sealed


@pytest.mark.parametrize(
    ("owner", "name"), [(opening, "write_manifest"), (FeatureWriter, "write"), (None, "results")]
)
def test_an_interruption_behind_what_it_wrote_leaves_nothing(
    tmp_path, full, monkeypatch, owner, name
) -> None:
    out = tmp_path / "slim"

    def write_result_and_stop(_: FeatureStore) -> None:
        with writing(out / "results/vote") as new:
            write_file(new / "config.json", b"{}")
        raise KeyboardInterrupt

    if owner is not None:
        act = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *given, **named: (act(*given, **named), interrupted())
        )
    with pytest.raises(KeyboardInterrupt):
        slim(full, [(0, 0)], out, before_seal=write_result_and_stop)
    assert not out.exists()


def test_one_that_was_killed_after_its_last_file_is_whole(tmp_path, full, monkeypatch) -> None:
    out = tmp_path / "slim"
    with monkeypatch.context() as patch:
        leave_all(patch)
        slim(full, [(0, 0)], out)
    assert {problem.kind for problem in verify(out).problems} <= {"left-over"}
    monkeypatch.setattr(signs, "process_has_ended", lambda *_: True)
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(0, 0)], out)
    assert verify(out).sealed
