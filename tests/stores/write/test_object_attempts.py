"""Requests to object storage that fail: what is asked before each attempt, what ends them."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from savs.stores.errors import AnswerError, StoreWriteError
from savs.stores.files import object_store
from savs.stores.files.object_store import ATTEMPTS, write_whole
from savs.stores.write.claim_files import ClaimObjects
from savs.stores.write.claims import ClaimLostError


class OtherStorage(Exception):  # noqa: N818 - stands for botocore's ClientError
    """An answer of a storage that is not AWS."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class Bucket:
    """A place in storage whose requests fail a number of times, or find nothing."""

    def __init__(self, failures: int = 0) -> None:
        self.path = "bucket/x"
        self.fs = self
        self.failures = failures
        self.asked: list[str] = []
        self.content = b"2"

    def __truediv__(self, name: str) -> "Bucket":
        return self

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        self.asked.append("write")
        if len(self.asked) // 2 <= self.failures:
            raise ConnectionError("cut")

    def modified(self, path: str) -> None:
        raise FileNotFoundError(path)

    def size(self, path: str) -> int:
        return len(self.content)

    def cat_file(self, path: str) -> bytes:
        return self.content


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(object_store, "time", SimpleNamespace(sleep=found.append))
    return found


@pytest.mark.parametrize("replace", [True, False])
def test_a_claim_is_looked_at_before_each_attempt(pauses, replace) -> None:
    bucket = Bucket(failures=2)
    write_whole(bucket, b"1", replace=replace, before_naming=lambda: bucket.asked.append("claim"))
    assert bucket.asked == ["claim", "write"] * 3
    assert len(pauses) == 2


@pytest.mark.parametrize("replace", [True, False])
def test_a_claim_that_is_lost_between_attempts_ends_them(pauses, replace) -> None:
    bucket = Bucket(failures=5)

    def look() -> None:
        bucket.asked.append("claim")
        if len(bucket.asked) > 2:
            raise ClaimLostError("x")

    with pytest.raises(ClaimLostError):
        write_whole(bucket, b"1", replace=replace, before_naming=look)
    assert bucket.asked == ["claim", "write", "claim"]


@pytest.mark.parametrize(("error", "attempts"), [(ConnectionError, ATTEMPTS), (AnswerError, 1)])
def test_requests_are_repeated_a_few_times_unless_the_answer_is_wrong(
    pauses, monkeypatch, error, attempts: int
) -> None:
    bucket, asked = Bucket(), []

    def fail(path: str, data: bytes) -> None:
        asked.append(path)
        raise error("cut")

    monkeypatch.setattr(bucket, "pipe_file", fail)
    with pytest.raises(StoreWriteError, match=r"Bucket.*: cut; check the network and your rights"):
        write_whole(bucket, b"1", replace=True)
    assert (len(asked), len(pauses)) == (attempts, attempts - 1)


def test_a_sign_that_is_not_there_is_asked_for_once(pauses) -> None:
    assert ClaimObjects(Bucket()).written_s("a.rank") is None
    assert pauses == []


@pytest.mark.parametrize("status", [412, 501])
def test_a_condition_is_understood_in_other_words_than_those_of_aws(
    pauses, monkeypatch, status: int
) -> None:
    bucket = Bucket()

    def refuse(path: str, data: bytes, mode: str) -> None:
        raise OSError("refused") from OtherStorage(status)

    monkeypatch.setattr(bucket, "pipe_file", refuse)
    if status == 412:
        assert not object_store.create_object(bucket, b"1")
    else:
        with pytest.raises(NotImplementedError):
            object_store.create_object(bucket, b"1")
    assert pauses == []


@pytest.mark.parametrize("content", [b"1", b"2", b"12"])
def test_an_object_is_ours_if_it_has_our_content(pauses, monkeypatch, content: bytes) -> None:
    """The library asked twice: the first answer was lost, the second says that it is there."""
    bucket = Bucket()
    bucket.content = content

    def refuse(path: str, data: bytes, mode: str) -> None:
        raise FileExistsError(path)

    monkeypatch.setattr(bucket, "pipe_file", refuse)
    assert object_store.create_object(bucket, b"1") == (content == b"1")
    with pytest.raises(FileExistsError) if content != b"1" else nullcontext():
        write_whole(bucket, b"1", replace=False)


def test_a_listing_that_names_other_places_is_of_its_own_folder(monkeypatch) -> None:
    bucket = Bucket()
    listed = ["bucket/x/a", "bucket/x/b/", "etc", "/etc/passwd", "bucket/x/..", "../../x"]
    monkeypatch.setattr(bucket, "ls", lambda path, **options: listed, raising=False)
    assert object_store.object_names(bucket) == ["a", "b"]
