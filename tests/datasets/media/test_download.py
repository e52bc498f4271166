"""Media at a URL: kept once fetched, and servers that drip, lie, never end or lead astray."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media import http_requests
from savs.datasets.media.download import Fetching
from savs.datasets.media.media import MediaRules
from savs.datasets.rows.media_names import is_address

OK = b"HTTP/1.1 200 OK\r\n"
LONG_S = 20.0
"""How long a server drips that nobody stops."""


Talk = Callable[[socket.socket, threading.Event, str], None]
"""Answers on a connection, until an event, the request of a path."""


@contextmanager
def talking(talk: Talk) -> Iterator[tuple[str, list[str]]]:
    """Run a server that says what `talk` says; yield its address and the paths asked for."""
    paths: list[str] = []
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    paths.append(connection.recv(65536).decode().split(" ")[1])
                    talk(connection, over, paths[-1])
                except OSError:  # the client has gone
                    continue

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", paths
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


def dripping(start: bytes) -> Talk:
    """Send a start, then a byte twenty times a second."""

    def talk(connection: socket.socket, over: threading.Event, path: str) -> None:
        connection.sendall(start)
        for _ in range(round(20 * LONG_S)):
            connection.sendall(b"a")
            if over.wait(0.05):
                return

    return talk


def saying(answer: bytes) -> Talk:
    return lambda connection, over, path: connection.sendall(answer)


def endless(start: bytes) -> Talk:
    def talk(connection: socket.socket, over: threading.Event, path: str) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(b"a" * 65536)

    return talk


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start",
    [
        b"",
        OK + b"X: ",
        OK + b"\r\n",
        OK + b"Content-Length: 999999\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /y.png\r\nX: ",
    ],
    ids=["status line", "header", "body", "body of a known length", "redirect"],
)
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes) -> None:
    with talking(dripping(start)) as (address, _):
        fetching = Fetching(allow_private=True, timeout_s=LONG_S, deadline_s=0.3)
        with pytest.raises(MediaError, match=r"cannot be fetched: it takes more than 0\.3 s"):
            fetching.fetch(address)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK + b"Content-Length: -5\r\n\r\n12345", "it announces a length of '-5'"),
        (OK + b"Content-Length: 1e9\r\n\r\n12345", "it announces a length of '1e9'"),
        (OK + b"Content-Length: 2000\r\n\r\n12345", "it has more than 1,000 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n12345", ""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n12345", ""),
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH"),
    ],
)
def test_a_server_that_lies_is_refused(answer: bytes, reason: str) -> None:
    with talking(saying(answer)) as (address, _):
        fetching = Fetching(allow_private=True, max_bytes=1000)
        with pytest.raises(MediaError, match=f"cannot be fetched: {reason}"):
            fetching.fetch(address)


@pytest.mark.parametrize("length", [b"Content-Length: 5\r\n", b""])
def test_a_medium_may_have_all_bytes_that_are_allowed(length: bytes) -> None:
    before = {*threading.enumerate()}
    with talking(saying(OK + length + b"Connection: close\r\n\r\n12345")) as (address, _):
        fetching = Fetching(allow_private=True, max_bytes=5, deadline_s=LONG_S)
        assert fetching.fetch(address) == b"12345"
    for thread in {*threading.enumerate()} - before:  # no timer waits for the deadline
        thread.join(LONG_S / 2)
        assert not thread.is_alive()


def test_a_body_without_end_is_read_no_further_than_the_limit() -> None:
    with talking(endless(OK + b"\r\n")) as (address, _):
        fetching = Fetching(allow_private=True, max_bytes=10_000)
        with pytest.raises(MediaError, match="it has more than 10,000 bytes"):
            fetching.fetch(address)
    assert fetching.spent[0] <= 10_000 + http_requests.PIECE_BYTES


def test_what_comes_with_a_redirect_is_not_read() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n"
    with talking(endless(moved)) as (address, _):
        fetching = Fetching(allow_private=True, deadline_s=LONG_S)
        with pytest.raises(MediaError, match=r"cannot be fetched: .*ftp"):
            fetching.fetch(address)


def test_a_private_network_is_not_asked() -> None:
    with talking(saying(OK + b"Content-Length: 1\r\n\r\n1")) as (address, asked):
        with pytest.raises(
            MediaError,
            match=r"cannot be fetched: 127\.0\.0\.1 is in a private network; if you trust the rows,"
            " pass `allow_private_addresses`",
        ):
            Fetching().fetch(address)
        named = address.replace("127.0.0.1", "localhost")
        with pytest.raises(MediaError, match=r"fetched: localhost \(.*\) is in a private network"):
            Fetching().fetch(named)
        assert asked == []
        assert Fetching(allow_private=True).fetch(address) == b"1"


def test_no_redirect_leads_into_a_private_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "is_public", lambda address: address == "127.0.0.1")
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/x\r\nContent-Length: 0\r\n\r\n"
    with talking(saying(moved)) as (address, asked):
        with pytest.raises(MediaError, match=r"fetched: 127\.0\.0\.2 is in a private network"):
            Fetching().fetch(address)
        assert len(asked) == 1


def test_a_proxy_may_be_private_and_what_it_is_asked_for_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with talking(saying(OK + b"Content-Length: 1\r\n\r\n1")) as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        assert Fetching().fetch("http://host.example/x.png") == b"1"
        assert asked == ["http://host.example/x.png"]
        for host in ("10.1.2.3", "localhost", "LOCALHOST"):
            with pytest.raises(MediaError, match=f"fetched: (?i:{host}) is in a private network"):
                Fetching().fetch(f"http://{host}/x.png")
        assert len(asked) == 1
        assert Fetching().fetch("http://8.8.8.8/x.png") == b"1"
        assert Fetching(allow_private=True).fetch("http://10.1.2.3/x.png") == b"1"


def test_a_run_fetches_no_more_than_it_may(tmp_path: Path) -> None:
    body = b"1" * 60
    with talking(saying(OK + b"Content-Length: 60\r\n\r\n" + body)) as (address, asked):
        fetching = Fetching(tmp_path / "kept", allow_private=True, max_total_bytes=100)
        assert fetching.fetch(address) == body
        reason = r"this run has fetched 100 bytes, the most that it may; raise `fetch_gb`"
        for name in ("2", "3"):
            with pytest.raises(MediaError, match=reason):
                fetching.fetch(f"{address}/{name}")
        assert len(asked) == 2  # nothing is asked for once the limit is reached
        assert len(list((tmp_path / "kept").iterdir())) == 1
        assert fetching.fetch(address) == body  # what is kept costs nothing


def answer(body: bytes, length: int | None = None) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def moved(where: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


PAGES = {
    "/1.png": answer(b"/1.png"),
    "/2.png": answer(b"/2.png"),
    "/empty": answer(b""),
    "/big": answer(b"." * 5000),
    "/short": answer(b"12345", length=10),
    "/moved": moved("/1.png"),
    "/file": moved("file:///etc/passwd"),
    "/ftp": moved("ftp://127.0.0.1/x"),
}


def web(connection: socket.socket, over: threading.Event, path: str) -> None:
    if path == "/silent":
        over.wait(60)
    else:
        page = PAGES.get(path.partition("?")[0], b"HTTP/1.1 404 nothing here\r\n\r\n")
        connection.sendall(page)


Web = tuple[str, list[str]]


@pytest.fixture
def host() -> Iterator[Web]:
    """A server on this machine, and what it was asked for."""
    with talking(web) as found:
        yield found


def media_of(root: Path, folder: Path | None, **options: float) -> MediaFolder:
    fetching = Fetching(folder, allow_private=True, **options)  # type: ignore[arg-type]
    return MediaFolder(root, rules=MediaRules(fetching=fetching))


def test_a_medium_is_fetched_if_that_was_asked_for_and_once(tmp_path: Path, host: Web) -> None:
    name = f"{host[0]}/1.png?size=2"
    refusing = MediaFolder(tmp_path)
    assert (refusing.has(name), refusing.size(name)) == (False, None)
    with pytest.raises(MediaError, match=r"/1\.png.* is a URL and was read without `fetch_urls`$"):
        refusing.read(name)
    assert host[1] == []
    assert media_of(tmp_path, None).read(name) == b"/1.png"
    assert list(tmp_path.iterdir()) == []  # without a folder nothing is kept
    media = media_of(tmp_path, tmp_path / "kept")
    assert (media.has(name), media.size(name)) == (True, None)
    assert media.read(name) == media.read(name) == b"/1.png"
    assert (media.size(name), media_of(tmp_path, tmp_path / "kept").read(name)) == (6, b"/1.png")
    assert host[1] == ["/1.png?size=2"] * 2
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [b"/1.png"]


def test_several_are_fetched_beforehand(tmp_path: Path, host: Web) -> None:
    fetching = Fetching(tmp_path / "kept", allow_private=True)
    names = ["a.png", *(f"{host[0]}/{n}" for n in ("1.png", "2.png", "3.png", "1.png"))]
    assert fetching.fetch_all(names) == [
        f"2 of 3 URLs are in {tmp_path / 'kept'}; 12 bytes were fetched, 100,000,000,000 are"
        " allowed (`fetch_gb`)"
    ]
    assert sorted(host[1]) == ["/1.png", "/2.png", "/3.png"]
    with pytest.raises(MediaError, match=r"/3\.png cannot be fetched: nothing here"):
        fetching.fetch(names[3])
    assert len(host[1]) == 3  # what failed is not tried again
    assert fetching.fetch_all(["a.png"]) == Fetching().fetch_all(names) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.png", "cannot be fetched: nothing here"),
        ("silent", "cannot be fetched: .*timed out"),
        ("short", "cannot be fetched: "),
        ("file", "cannot be fetched: "),
        ("ftp", "cannot be fetched: "),
        ("big", r"cannot be fetched: it has more than 1,000 bytes"),
        ("empty", r"is empty \(0 bytes\)"),
    ],
)
def test_what_cannot_be_fetched_is_named_and_leaves_nothing(
    tmp_path: Path, host: Web, name: str, reason: str
) -> None:
    timeout_s = 0.3 if name == "silent" else 60
    media = media_of(tmp_path, tmp_path / "kept", timeout_s=timeout_s, max_bytes=1000)
    with pytest.raises(MediaError, match=rf"^{host[0]}/{name} {reason}"):
        media.read(f"{host[0]}/{name}")
    kept = list((tmp_path / "kept").glob("*"))
    assert [path.read_bytes() for path in kept] == ([b""] if name == "empty" else [])
    assert media.read(f"{host[0]}/moved") == b"/1.png"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/x.png", "http://no such host/x.png", "http://[::1/x", "http://"]
)
def test_an_address_without_a_server_is_named(address: str) -> None:
    with pytest.raises(MediaError, match="cannot be fetched: "):
        Fetching(allow_private=True, timeout_s=1).fetch(address)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("https://host/1.png", True),
        ("HTTP://host/1.png", True),
        ("ftp://host/1.png", False),
        ("file:///etc/passwd", False),
        ("http/1.png", False),
    ],
)
def test_addresses_are_of_the_web(name: str, there: bool) -> None:
    assert is_address(name) is there


def test_windows_of_a_video_are_fetched_as_one_file(tmp_path, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Fetching, "_download", lambda _, address: asked.append(address) or b"clip")
    fetching = Fetching(tmp_path)
    names = [f"https://host/a.mp4@{n}.0..{n + 1}.0" for n in range(3)]
    (line,) = fetching.fetch_all(names)
    assert line.startswith(f"1 of 1 URLs are in {tmp_path}")
    folder = MediaFolder(tmp_path, rules=MediaRules(fetching=fetching))
    assert {folder.read(name) for name in names} == {b"clip"}
    assert asked == ["https://host/a.mp4"]
