"""A store in a bucket: claims by conditional writes, shards uploaded whole, connections cut."""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from claimants import ended
from s3 import BUCKET, Cutter, serve_s3
from s3fs import S3FileSystem

from savs.stores import StoreReadError, StoreWriteError, open_store, open_writer
from savs.stores.files import object_store
from savs.stores.files.addresses import find_place
from savs.stores.maintain.progress import store_progress
from savs.stores.write.claim_files import ClaimObjects
from savs.stores.write.claims import Claims

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of aiohttp's own sessions
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of botocore
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def s3(monkeypatch) -> Iterator[Cutter]:
    monkeypatch.setattr(object_store, "PAUSE_S", 0.01)
    with serve_s3(monkeypatch) as cutter:
        yield cutter


def write(toy, url: str, **rows: int) -> bool:
    """Write all shards of a store as claims give them."""
    with open_writer(find_place(url), toy.identity(), toy.rows(**rows), shard_rows=2) as writer:
        shards = writer.open_shards(writer.missing())
        while shards.wait():
            for spec in shards.claimed():
                writer.write(spec, toy.content(spec))
        return writer.seal()


def check(toy, url: str) -> None:
    store = open_store(url)
    assert store.manifest.sealed
    np.testing.assert_array_equal(store.features("train")[:2], toy.values("train", 0)[:, :5])
    assert store.examples("test").height == 3


def names(url: str) -> list[str]:
    place = find_place(url)
    return sorted(path.rsplit("/", 1)[1] for path in place.fs.find(place.path))


def test_a_store_in_a_bucket_is_that_of_a_folder(toy, s3, tmp_path) -> None:
    url = f"s3://{BUCKET}/a/store"
    assert write(toy, url)
    check(toy, url)
    toy.write(tmp_path)
    far, near = open_store(url).manifest, open_store(tmp_path).manifest
    assert (far.plan, far.identity, far.shards) == (near.plan, near.identity, near.shards)
    assert names(url) == sorted(path.name for path in tmp_path.iterdir())
    assert write(toy, url, train=7)  # resumed and extended
    assert len(open_store(url).manifest.shards) == 6


def test_writers_share_a_bucket_by_claims(toy, s3) -> None:
    url = f"s3://{BUCKET}/store"
    place = find_place(url)
    arguments = (place, toy.identity(), toy.rows())
    with (
        open_writer(*arguments, shard_rows=2) as first,
        open_writer(*arguments, shard_rows=2) as second,
    ):
        mine = first.open_shards(first.missing()).claimed()
        spec = next(mine)
        assert not second.claims.take(spec.name)
        progress = store_progress(place, open_store(url).manifest)
        assert len(progress.writers) == 2
        assert all(writer.last_sign_s < 60 for writer in progress.writers)
        others = second.open_shards(second.missing())
        for other in others.claimed():
            assert other.name != spec.name
            assert second.write(other, toy.content(other))
        first.claims._storage.create(f"{spec.name}.1", b"{}")  # it was taken for dead
        assert not first.write(spec, toy.content(spec))
        place.fs.rm_file((place / "claims" / f"{spec.name}.1").path)
        place.fs.rm_file((place / "claims" / f"{spec.name}.0").path)
        assert second.write(spec, toy.content(spec))
        assert second.seal()
    check(toy, url)


def test_answers_that_are_lost_do_no_harm(toy, s3) -> None:
    """The second attempt finds what the first one made, and knows it for its own."""
    requests: list[bytes] = []

    def cut(data: bytes) -> bool:
        found = re.match(rb"(PUT|DELETE) (\S+)", data)
        if found is None or found[0] in requests or b".probe" in found[0]:
            return False
        requests.append(found[0])
        return len(requests) % 2 == 1

    s3.cut = cut
    url = f"s3://{BUCKET}/store"
    assert write(toy, url)
    s3.cut = lambda request: False
    assert s3.cuts >= 5, requests
    check(toy, url)
    assert not [name for name in names(url) if ".h5." in name]


def test_a_server_that_is_gone_is_one_line(toy, s3, monkeypatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else the client tries for most of a minute
    s3.cut = lambda request: True
    with pytest.raises(StoreReadError, match=r"check its permissions and the network"):
        write(toy, f"s3://{BUCKET}/store")


def test_storage_without_conditions_is_refused(toy, s3, monkeypatch) -> None:
    pipe = S3FileSystem._pipe_file

    async def unconditional(self, path, data, mode="overwrite", **more):
        return await pipe(self, path, data, **more)

    monkeypatch.setattr(S3FileSystem, "_pipe_file", unconditional)
    with pytest.raises(StoreWriteError, match="does not write on condition, so processes cannot"):
        write(toy, f"s3://{BUCKET}/store")
    assert names(f"s3://{BUCKET}/store") == []


def test_what_cannot_be_written_is_refused(toy) -> None:
    with pytest.raises(StoreWriteError, match=r"cannot be written; pass a folder, or a URL of s3"):
        write(toy, "https://example.org/store")


def test_a_dead_processs_claim_is_taken_over_in_a_bucket(s3) -> None:
    storage = ClaimObjects(find_place(f"s3://{BUCKET}/store"))
    assert storage.create("x.h5.0", json.dumps(ended().to_json()).encode())
    with Claims(storage) as claims:
        assert claims.take("x.h5")
        assert set(storage.names()) >= {"x.h5.0", "x.h5.1"}
        claims.release("x.h5")
    assert storage.names() == []


def test_the_time_of_a_bucket_is_that_of_its_server(s3, monkeypatch) -> None:
    storage = ClaimObjects(find_place(f"s3://{BUCKET}/store"))
    storage.put("a.rank", b"1")
    monkeypatch.setattr("savs.stores.write.claim_files.time", SimpleNamespace(time=lambda: 0.0))
    assert storage.now_s() >= storage.written_s("a.rank") > 0
    assert storage.names() == ["a.rank"]


def test_an_extraction_into_a_bucket_can_be_selected_from_and_evaluated(
    savs, inputs, s3, tmp_path
) -> None:
    train, test = inputs.few_shots()
    url = f"s3://{BUCKET}/features"
    words = ["extract", "general", "--train", train, "--test", test, "--model", "demo"]
    done = savs(*words, "--out", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == url
    assert savs(*words, "--out", tmp_path / "near").returncode == 0
    far, near = open_store(url), open_store(tmp_path / "near")
    np.testing.assert_array_equal(far.features("test", raw=True), near.features("test", raw=True))
    again = savs(*words, "--out", url)
    assert "0 examples to do" in again.stderr
    assert savs("select", url, "--heads", "2", "--out", tmp_path / "r").returncode == 0
    done = savs("evaluate", url, "--selection", tmp_path / "r", "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert savs("show", url).returncode == 0
