"""A store after an address whose server lies, drips, or never ends."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yarl
from web import running

from savs.stores import StoreCorruptError, StoreReadError, open_store
from savs.stores.files import web
from savs.stores.files.addresses import find_place
from savs.stores.files.raw_file import size_bytes
from stores import make_store

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of aiohttp's own sessions
]
Answer = Callable[[BaseHTTPRequestHandler, bytes, int, int], None]
"""Handler, the file, first byte and one past the last that were asked for -> what is sent."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train, test = np.random.default_rng(0).standard_normal((2, 4, 16, 64), np.float32)
    return make_store(tmp_path / "s", train, ["a", "b"] * 8, test, ["a", "b"] * 8).path


@pytest.fixture
def serving(folder: Path) -> Iterator[Callable[[Answer], str]]:
    """Serve the store as `answer` says, shards or all; yield a function that gives the address."""
    over, answering = threading.Event(), list[Answer]()

    class Handler(BaseHTTPRequestHandler):
        over: threading.Event

        def do_HEAD(self) -> None:
            if "refused" in self.path:
                self.head(403 if "403" in self.path else 503, 0)
                return
            self.head(200, len((folder / Path(self.path).name).read_bytes()))

        def do_GET(self) -> None:
            if "refused" in self.path:
                self.do_HEAD()
                return
            place = folder / Path(self.path).name
            data = place.read_bytes() if place.is_file() else b""
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, end = (int(asked[1]), int(asked[2]) + 1) if asked else (0, len(data))
            try:
                answering[-1](self, data, first, min(end, len(data)))
            except OSError:  # the client has gone
                return

        def head(self, status: int, length: int | None, **more: str) -> None:
            self.send_response(status)
            self.send_header("Accept-Ranges", "bytes")
            if length is not None:
                self.send_header("Content-Length", str(length))
            for name, value in more.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return

    Handler.over = over
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    with running(server) as address:
        yield lambda answer: answering.append(answer) or address
        over.set()


def sending(change: Callable[[bytes], bytes], length_of: Callable[[int], int] = int) -> Answer:
    """Send other bytes than those asked for, and say that they have another length."""

    def send(handler: Any, data: bytes, first: int, end: int) -> None:
        place = f"bytes {first}-{end - 1}/{len(data)}"
        handler.head(206, length_of(end - first), Content_Range=place)
        handler.wfile.write(change(data[first:end]))

    return send


honest = sending(bytes)


def of_shards(answer: Answer) -> Answer:
    """Answer so for shards, and honestly for store.json."""
    return lambda handler, *rest: (answer if ".h5" in handler.path else honest)(handler, *rest)


def endless(handler: Any, data: bytes, first: int, end: int) -> None:
    handler.head(206, None, Content_Range=f"bytes {first}-{end - 1}/{len(data)}")
    while not handler.over.is_set():
        handler.wfile.write(b"a" * 65536)


LIES: dict[str, Answer] = {
    "in another order": sending(lambda data: data[::-1]),
    "fewer bytes": sending(lambda data: data[: len(data) // 2], lambda length: length // 2),
    "ended early": sending(lambda data: data[:-1]),
    "endless": endless,
    "nonsense": lambda handler, data, first, end: (
        handler.head(206, end - first, Content_Range="bytes x-y/z"),
        handler.wfile.write(b"\xff" * (end - first)),
    ),
    "refused": lambda handler, data, first, end: handler.head(500, 0),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
def test_a_lying_server_is_an_error_of_one_line(serving, answer: Answer) -> None:
    store = open_store(serving(of_shards(answer)))
    with pytest.raises((StoreCorruptError, StoreReadError)) as told:
        store.features("test")
    assert "test-00000.h5" in str(told.value)
    assert "\n" not in str(told.value)


def dripping(handler: Any, data: bytes, first: int, end: int) -> None:
    handler.head(206, end - first, Content_Range=f"bytes {first}-{end - 1}/{len(data)}")
    for place in range(first, end):
        handler.wfile.write(data[place : place + 1])
        if handler.over.wait(0.05):
            return


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(web, "REQUEST_S", 5.0)
    web.web_options.cache_clear()
    yield
    web.web_options.cache_clear()


@pytest.mark.costly
def test_a_server_that_drips_is_left(serving, impatient) -> None:
    with pytest.raises(StoreReadError, match=r"store\.json cannot be read: it takes too long;"):
        open_store(serving(dripping))


def test_a_description_without_end_is_refused(folder, serving) -> None:
    with (folder / "store.json").open("ab") as file:
        file.truncate(2**31)
    with pytest.raises(StoreCorruptError, match=r"store\.json has 2,147,483,648 bytes, more than"):
        open_store(folder)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://127.0.0.2:9/store.json", "the server leads to 127.0.0.2, in a private network"),
        ("ftp://host/x", "the server leads to ftp://host/x, expected http or https"),
        ("/store.json", "the server leads from address to address without end"),
    ],
)
def test_a_redirect_stays_at_the_server_or_leads_to_a_public_one(serving, target, reason) -> None:
    def moved(handler: Any, data: bytes, first: int, end: int) -> None:
        handler.head(302, 0, Location=target)

    with pytest.raises(StoreReadError, match=re.escape(f"cannot be read: {reason};")):
        open_store(serving(moved))
    answer = SimpleNamespace(headers={"Location": "http://8.8.8.8/x"})
    params = SimpleNamespace(url=yarl.URL("http://127.0.0.1/x"), response=answer)
    asyncio.run(web._check_redirect(None, None, params))


def test_a_redirect_to_an_address_without_a_host_stays_at_the_server(folder, serving) -> None:
    def moved(handler: Any, data: bytes, first: int, end: int) -> None:
        if handler.path.startswith("/there/"):
            honest(handler, data, first, end)
        else:
            handler.head(302, 0, Location=f"/there{handler.path}")

    there = open_store(serving(moved))
    np.testing.assert_array_equal(there.features("test"), open_store(folder).features("test"))


@pytest.mark.parametrize(("status", "told"), [(403, "403 Forbidden"), (503, "503 Service")])
def test_a_server_that_refuses_is_not_one_without_a_store(serving, status: int, told: str) -> None:
    address = serving(honest)
    with pytest.raises(
        StoreReadError, match=rf"store\.json cannot be read: the server says {told}"
    ):
        open_store(f"{address}/refused/{status}")


def test_a_shard_that_may_not_be_seen_is_missing_and_a_failure_is_none(serving) -> None:
    """A public bucket says 403 of what is not there, to those who may not list it."""
    address = serving(honest)
    assert size_bytes(find_place(f"{address}/refused/403/train-00000.h5")) is None
    with pytest.raises(StoreReadError, match="the server says 503"):
        size_bytes(find_place(f"{address}/refused/503/train-00000.h5"))
