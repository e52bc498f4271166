import errno
import os
from pathlib import Path

import h5py
import pytest

import savs.stores.shard.hdf5
from savs.foundation.files import publish
from savs.stores import StoreError, StoreWriteError, open_writer
from savs.stores.write.claim_files import ClaimFiles

REFUSALS = {
    "full": (errno.ENOSPC, "the disk is full; finished shards are kept"),
    "quota": (errno.EDQUOT, "the disk is full"),
    "too large": (errno.EFBIG, "the disk is full"),
    "read-only": (
        errno.EROFS,
        "the disk cannot be written: .*Read-only.*run the same command again",
    ),
    "not permitted": (errno.EACCES, "cannot be written: Permission denied; make it writable"),
    "broken": (errno.EIO, "the disk cannot be written: "),
}


def refuse(monkeypatch, owner, name: str, code: int) -> None:
    def refusing(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(owner, name, refusing)


@pytest.mark.thorough
@pytest.mark.parametrize("step", ["create", "flush"])
@pytest.mark.parametrize(("code", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusing_disk_leaves_only_earlier_shards(
    tmp_path, toy, listing, monkeypatch, code, message, step
) -> None:
    toy.write(tmp_path, only=1)
    before = listing(tmp_path)
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        owner, name = {"create": (h5py, "File"), "flush": (os, "fsync")}[step]
        refuse(monkeypatch, owner, name, code)
        with pytest.raises(StoreWriteError, match=rf"train-00001\.h5.*{message}") as refusal:
            writer.write(spec, toy.content(spec))
    assert isinstance(refusal.value, OSError)
    assert listing(tmp_path) == before
    monkeypatch.undo()
    assert toy.write(tmp_path)


def test_an_interrupted_shard_leaves_nothing(tmp_path, toy, listing, monkeypatch) -> None:
    toy.write(tmp_path, only=1)
    before = listing(tmp_path)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(savs.stores.shard.hdf5, "encode_column", interrupt)
    with pytest.raises(KeyboardInterrupt):
        toy.write(tmp_path)
    assert listing(tmp_path) == before


def test_a_folder_below_a_file_is_refused(tmp_path, toy) -> None:
    (tmp_path / "claims").write_text("mine")
    below = r"claims/store: the disk cannot be written: .*Not a directory"
    places = {"claims/store": below, "claims": "is a file", "": r"claims: the disk cannot .* Not a"}
    for folder, message in places.items():
        with pytest.raises(StoreWriteError, match=message):
            toy.write(tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["claims"]


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [
        ("mkdir", errno.EACCES, "store cannot be written: Permission denied"),
        ("fsync", errno.ENOSPC, r"store\.json: the disk is full"),
    ],
)
def test_a_store_that_cannot_be_made_leaves_nothing(
    tmp_path, toy, monkeypatch, step, code, message
) -> None:
    refuse(monkeypatch, os, step, code)
    with pytest.raises(StoreWriteError, match=message):
        toy.write(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_publishing_never_overwrites(tmp_path, monkeypatch, links) -> None:
    if not links:
        refuse(monkeypatch, os, "link", errno.EPERM)
    partial, path = tmp_path / "x.partial", tmp_path / "x"
    partial.write_text("new")
    publish(partial, path, replace=False)
    assert (path.read_text(), partial.exists()) == ("new", False)
    partial.write_text("newer")
    with pytest.raises(FileExistsError, match="x"):
        publish(partial, path, replace=False)
    assert path.read_text() == "new"


@pytest.mark.parametrize("only", [1, None], ids=["begun", "sealed"])
def test_a_finished_shard_is_never_written_again(tmp_path, toy, listing, only) -> None:
    toy.write(tmp_path, only=only)
    before = listing(tmp_path)
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.manifest.plan.shards()[0]
        with pytest.raises(StoreError, match=r"train-00000\.h5"):
            writer.write(spec, toy.content(spec))
    assert listing(tmp_path) == before


def test_a_store_is_whole_without_hard_links(tmp_path: Path, toy, monkeypatch) -> None:
    refuse(monkeypatch, os, "link", errno.EPERM)
    assert toy.write(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


@pytest.mark.parametrize("what", ["claim", "list", "shard"])
def test_a_disk_that_breaks_while_shards_are_claimed_is_one_line(
    tmp_path, toy, monkeypatch, what
) -> None:
    owner, name = {
        "claim": (ClaimFiles, "create"),
        "list": (ClaimFiles, "names"),
        "shard": (Path, "exists"),
    }[what]
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        shards = writer.open_shards(writer.missing())
        if what == "list":
            writer.claims.signs.gone.add("another")
        with monkeypatch.context() as patch:
            refuse(patch, owner, name, errno.EIO)
            message = rf"{tmp_path}: the disk cannot be written: .*; finished shards are kept"
            with pytest.raises(StoreWriteError, match=message):
                shards.wait()
            with pytest.raises(StoreWriteError, match=message):
                next(shards.claimed())
        assert shards.wait()


@pytest.mark.parametrize("look", ["read", "names"])
@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_claim_that_another_host_replaced_while_it_was_read_is_read_again(
    tmp_path, monkeypatch, look, times
) -> None:
    storage = ClaimFiles(tmp_path)
    storage.put("a.rank", b"1")
    owner_name = {"read": "open", "names": "scandir"}[look]
    act, left = getattr(os, owner_name), [times]

    def stale(*args, **more):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return act(*args, **more)

    monkeypatch.setattr(os, owner_name, stale)
    find = {"read": lambda: storage.read("a.rank"), "names": storage.names}[look]
    if times < 5:
        assert find() == {"read": b"1", "names": ["a.rank"]}[look]
    else:
        with pytest.raises(OSError, match="Stale file handle"):
            find()
