"""A new store whose writer was killed is begun again by the same command, and by no other."""

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
        patch.setattr(FeatureWriter, "seal", interrupted)
        patch.setattr(opening, "_remove", lambda *_, **__: None)
        patch.setattr(Claims, "_leave", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            slim(full, [(0, 0)], out, before_seal=lambda: keep(out))
    monkeypatch.setattr(signs, "process_has_ended", lambda *_: True)
    assert (out / "results/x").read_text() == "kept"  # before the store is whole
    return out


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def keep(out: Path) -> None:
    (out / "results").mkdir(exist_ok=True)
    (out / "results/x").write_text("kept")
    (out / CARD).write_text("kept")


def test_the_same_command_begins_it_again(full, killed) -> None:
    (killed / "train-00000.h5").write_bytes(b"of other features")
    made = slim(full, [(0, 0)], killed, before_seal=lambda: keep(killed))
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
    assert {path.name for path in out.iterdir()} == {MANIFEST, "train-00000.h5"}


def test_an_interruption_of_the_first_look_leaves_what_is_there(
    tmp_path, full, monkeypatch
) -> None:
    (tmp_path / "slim").mkdir()
    write_manifest(tmp_path / "slim", full.manifest)
    monkeypatch.setattr(opening, "is_begun", interrupted)
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


def test_another_command_leaves_it(full, killed, listing) -> None:
    before = listing(killed)
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(2, 1)], killed)
    for claim in (killed / CLAIMS).glob(f"{BEGUN}.*"):
        claim.unlink()  # as in the store of an extraction
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(0, 0)], killed)
    assert {n: listing(killed)[n] for n in before if n.endswith(".h5")} == {
        n: before[n] for n in before if n.endswith(".h5")
    }


def test_claims_alone_are_as_good_as_nothing(full, killed) -> None:
    for path in [*killed.glob("*.h5"), killed / MANIFEST, killed / "results/x", killed / CARD]:
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

    def write_result_and_stop() -> None:
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


@pytest.mark.thorough
@pytest.mark.parametrize("is_begun", [True, False])
def test_one_that_was_killed_after_the_seal_is_whole_and_has_no_claims(
    tmp_path, full, monkeypatch, is_begun
) -> None:
    out = tmp_path / "slim"
    with monkeypatch.context() as patch:
        patch.setattr(Claims, "sweep", interrupted)
        patch.setattr(opening, "_remove", lambda *_, **__: None)
        patch.setattr(Claims, "_leave", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            slim(full, [(0, 0)], out, before_seal=lambda: keep(out))
    monkeypatch.setattr(signs, "process_has_ended", lambda *_: True)
    if not is_begun:  # killed after it had removed this claim, and before the others
        for claim in (out / CLAIMS).glob(f"{BEGUN}.*"):
            claim.unlink()
    (out / "results/mine").write_text("of the user")  # who had found it whole
    with pytest.raises(StoreMismatchError, match="slim is whole: an earlier run of this command w"):
        slim(full, [(0, 0)], out, before_seal=lambda: keep(out))
    assert not (out / CLAIMS).exists()
    assert verify(out).problems == ()
    assert (out / "results/mine").read_text() == "of the user"
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        slim(full, [(0, 1)], out)
