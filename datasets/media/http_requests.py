"""One request over http or https: with a deadline, and to public addresses alone.

Each connection is made here, redirects included, to the address that was checked: a name that
resolves to another address the second time leads nowhere. fsspec (aiohttp) asks a resolver for
names alone, so a redirect to `http://10.0.0.1` would go past a guard in it.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock, Timer
from typing import Any
from urllib import request
from urllib.parse import urlsplit

from savs.foundation.bounds import whole_number
from savs.foundation.network import is_public

PIECE_BYTES = 2**16


def download(
    address: str,
    *,
    timeout_s: float,
    deadline_s: float,
    max_bytes: int,
    allow_private: bool,
    count: Callable[[int], None],
) -> bytes:
    """Return what a URL gives; redirects are followed, to http and https alone.

    The server may be silent for `timeout_s`, and all of it, redirects included, may take
    `deadline_s`. `count` is called with the number of bytes of each piece, and may raise.

    Raises
    ------
    OSError, http.client.HTTPException, ValueError
        The server cannot be reached, refuses, is silent or slow, sends too much or too little, or
        is in a private network.
    """
    with Deadline(deadline_s) as deadline:
        try:
            with Route(deadline, timeout_s, allow_private).open(address) as answer:
                data = _read(answer, max_bytes, count)
        except (OSError, HTTPException, ValueError):
            deadline.require()
            raise
        deadline.require()
    return data


def _read(answer: HTTPResponse, max_bytes: int, count: Callable[[int], None]) -> bytes:
    text = answer.headers.get("Content-Length", "0").strip()
    announced = whole_number(text)
    if announced is None:
        raise ValueError(f"it announces a length of {text[:40]!r}")
    most, data = f"it has more than {max_bytes:,} bytes", bytearray()
    if announced > max_bytes:
        raise ValueError(most)
    while piece := answer.read1(PIECE_BYTES):
        count(len(piece))
        data += piece
        if len(data) > max_bytes:
            raise ValueError(most)
    if answer.length:  # bytes that were announced and did not arrive
        raise ValueError(f"the connection ended {answer.length:,} bytes early")
    return bytes(data)


class Deadline:
    """Ends the connections that it watches when the time is over, whatever they wait for.

    A time limit of a socket begins anew with each byte, so a slow server never reaches it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._lock, self._watched = Lock(), list[socket.socket]()
        self._timer = Timer(seconds, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    @property
    def left_s(self) -> float:
        """Seconds that are left; at least a thousandth."""
        return max(0.001, self._end - time.monotonic())

    def require(self) -> None:
        """Raise ValueError once the time is over."""
        if time.monotonic() >= self._end:
            raise ValueError(f"it takes more than {self.seconds:g} s")

    def watch(self, connection: socket.socket) -> None:
        """Watch a connection, by a handle of its own: TLS takes the other over."""
        with self._lock:
            self._watched.append(connection.dup())
        try:
            self.require()
        except ValueError:
            connection.close()
            raise

    def _shut(self) -> None:
        with self._lock:
            for connection in self._watched:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has ended by itself
                    continue


@dataclass(frozen=True, slots=True)
class Route:
    """How the connections of one request are made."""

    deadline: Deadline
    timeout_s: float
    """How long the server may be silent."""
    allow_private: bool
    """Also connect to addresses that are not public."""

    def open(self, address: str) -> HTTPResponse:
        """Return the answer of a URL, redirects followed; errors as of `download`."""
        opener = request.OpenerDirector()
        for handler in (
            request.ProxyHandler(),
            request.UnknownHandler(),
            _Connections(self),
            request.HTTPDefaultErrorHandler(),
            _Redirects(),
            request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        opener.addheaders = [("User-Agent", "savs")]
        return opener.open(address, timeout=self.timeout_s)

    def connection(self, kind: Any, hop: request.Request) -> Callable[..., HTTPConnection]:
        """Return what makes the connections of one hop."""
        proxy = hop.has_proxy() or getattr(hop, "_tunnel_host", None) is not None
        if proxy and not self.allow_private:
            _require_public_name(urlsplit(hop.full_url).hostname or "")

        def connect(host: str, **options: Any) -> HTTPConnection:
            connection = kind(host, **options)
            connection._create_connection = partial(
                self._connect, anywhere=proxy or self.allow_private
            )
            return connection

        return connect

    def _connect(
        self, place: tuple[str, int], timeout: float, source: Any = None, *, anywhere: bool
    ) -> socket.socket:
        """Connect to the first address of a host that answers."""
        entries = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        allowed = [a for a in addresses if anywhere or is_public(a)]
        if not allowed:
            raise ValueError(_refusal(place[0], addresses[0]))
        *others, last = allowed
        for address in others:
            try:
                return self._connect_to(address, place[1])
            except OSError:
                continue
        return self._connect_to(last, place[1])

    def _connect_to(self, address: str, port: int) -> socket.socket:
        self.deadline.require()
        limit = min(self.timeout_s, self.deadline.left_s)
        connection = socket.create_connection((address, port), limit)
        connection.settimeout(self.timeout_s)
        self.deadline.watch(connection)
        return connection


def _require_public_name(host: str) -> None:
    """Raise ValueError for an IP address that is not public; a proxy resolves other names."""
    try:
        public = host != "localhost" and is_public(host)
    except ValueError:  # a name
        return
    if not public:
        raise ValueError(_refusal(host, host))


def _refusal(host: str, address: str) -> str:
    where = host if host == address else f"{host} ({address})"
    return f"{where} is in a private network; if you trust the rows, pass `allow_private_addresses`"


class _Connections(request.HTTPHandler, request.HTTPSHandler):
    def __init__(self, route: Route) -> None:
        super().__init__()
        self._route = route

    def http_open(self, req: request.Request) -> HTTPResponse:
        return self.do_open(self._route.connection(HTTPConnection, req), req)

    def https_open(self, req: request.Request) -> HTTPResponse:
        return self.do_open(self._route.connection(HTTPSConnection, req), req)


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects without reading what comes with them, which may have no end."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
