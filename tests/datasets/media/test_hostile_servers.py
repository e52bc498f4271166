"""Servers that drip, never end, lie about lengths, or lead into the private network."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from savs.datasets import MediaError
from savs.datasets.media import http_requests
from savs.datasets.media.download import Fetching

pytestmark = pytest.mark.thorough

OK = b"HTTP/1.1 200 OK\r\n"
LONG_S = 20.0
"""How long a server drips that nobody stops."""


@contextmanager
def talking(
    talk: Callable[[socket.socket, threading.Event], None],
) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that says what `talk` says; yield its address and the requests so far."""
    asked: list[bytes] = []
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536))
                try:
                    talk(connection, over)
                except OSError:  # the client has gone
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x.png", asked
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def dripping(start: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send a start, then a byte twenty times a second."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        for _ in range(round(20 * LONG_S)):
            connection.sendall(b"a")
            if over.wait(0.05):
                return

    return talk


def saying(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    return lambda connection, over: connection.sendall(answer)


def endless(start: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(b"a" * 65536)

    return talk


@pytest.mark.parametrize(
    "start",
    [b"", OK + b"X: ", OK + b"\r\n", OK + b"Content-Length: 999999\r\n\r\n"],
    ids=["status line", "header", "body", "body of a known length"],
)
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes) -> None:
    with talking(dripping(start)) as (address, _):
        fetching = Fetching(allow_private=True, timeout_s=LONG_S, deadline_s=0.3)
        with pytest.raises(MediaError, match=r"cannot be fetched: it takes more than 0\.3 s"):
            fetching.fetch(address)


def test_the_deadline_is_that_of_all_redirects_together() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /y.png\r\nX: "
    with talking(dripping(moved)) as (address, _):
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
            " pass --allow-private-addresses",
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
        monkeypatch.setenv("http_proxy", address.removesuffix("/x.png"))
        monkeypatch.setenv("no_proxy", "")
        assert Fetching().fetch("http://host.example/x.png") == b"1"
        assert asked[0].startswith(b"GET http://host.example/x.png ")
        for host in ("10.1.2.3", "localhost"):
            with pytest.raises(MediaError, match=f"fetched: {host} is in a private network"):
                Fetching().fetch(f"http://{host}/x.png")
        assert len(asked) == 1


def test_a_run_fetches_no_more_than_it_may(tmp_path: Path) -> None:
    body = b"1" * 60
    with talking(saying(OK + b"Content-Length: 60\r\n\r\n" + body)) as (address, asked):
        fetching = Fetching(tmp_path / "kept", allow_private=True, max_total_bytes=100)
        assert fetching.fetch(address) == body
        reason = r"this run has fetched 100 bytes, the most that it may; raise --fetch-gb"
        for name in ("2", "3"):
            with pytest.raises(MediaError, match=reason):
                fetching.fetch(f"{address}?{name}")
        assert len(asked) == 2  # nothing is asked for once the limit is reached
        assert len(list((tmp_path / "kept").iterdir())) == 1
        assert fetching.fetch(address) == body  # what is kept costs nothing
