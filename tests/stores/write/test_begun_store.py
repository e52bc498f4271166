"""A new store whose writer was killed is begun again by the same command, and by no other."""

from pathlib import Path

import pytest

from savs.stores import FeatureStore, StoreMismatchError, open_store
from savs.stores.format.layout import CLAIMS, MANIFEST
from savs.stores.format.manifest import write_manifest
from savs.stores.maintain.copy import slim
from savs.stores.maintain.verify import verify
from savs.stores.write import opening, process, whole_store
from savs.stores.write.begun_store import BEGUN
from savs.stores.write.claims import Claims
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
        patch.setattr(whole_store, "_remove", lambda *_, **__: None)
        patch.setattr(Claims, "_leave", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            slim(full, [(0, 0)], out, before_seal=lambda: keep(out))
    monkeypatch.setattr(process, "process_has_ended", lambda *_: True)
    assert (out / "results/x").read_text() == "kept"  # before the store is whole
    return out


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def keep(out: Path) -> None:
    (out / "results").mkdir(exist_ok=True)
    (out / "results/x").write_text("kept")


def test_the_same_command_begins_it_again(full, killed) -> None:
    (killed / "train-00000.h5").write_bytes(b"of other features")
    made = slim(full, [(0, 0)], killed, before_seal=lambda: keep(killed))
    assert made.manifest.sealed
    assert verify(killed).problems == ()
    assert not (killed / CLAIMS).exists()


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
    for path in [*killed.glob("*.h5"), killed / MANIFEST, killed / "results/x"]:
        path.unlink()
    (killed / "results").rmdir()
    assert slim(full, [(2, 1)], killed).manifest.sealed


def test_an_interruption_behind_a_shard_leaves_nothing(tmp_path, full, monkeypatch) -> None:
    write = FeatureWriter.write

    def written(self, *given):
        write(self, *given)
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureWriter, "write", written)
    with pytest.raises(KeyboardInterrupt):
        slim(full, [(0, 0)], tmp_path / "slim")
    assert not (tmp_path / "slim").exists()


def test_an_interruption_behind_store_json_leaves_nothing(tmp_path, full, monkeypatch) -> None:
    def written(*given):
        write_manifest(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "write_manifest", written)
    with pytest.raises(KeyboardInterrupt):
        slim(full, [(0, 0)], tmp_path / "slim")
    assert not list((tmp_path / "slim").glob("*"))
