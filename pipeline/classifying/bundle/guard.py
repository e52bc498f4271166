"""Which requests a page answers: its own, under its own name. A Space has this file, too.

A page on the user's machine has no password: any site that the user visits can send requests to it,
frame it, or reach it by a name of its own that leads here. The browser says who asks.
"""

import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

MOST_UPLOADS_MB = 1000
"""All uploads together; the oldest make room for new ones."""
IN_USE_S = 60
"""Younger uploads are not deleted."""
BLOCK_BYTES = 4096
"""What a file takes on a disk besides its content."""
HUB = "https://huggingface.co"
"""The site that shows Spaces in a frame."""
NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
PORTS = {"http": 80, "https": 443}

Name = str | IPv4Address | IPv6Address
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def name_of(host: str) -> Name:
    """Return a host as it is compared: an address as a number, a name in lower case."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(name: Name) -> bool:
    """Return whether a name leads to the machine on which it is used."""
    return name == "localhost" if isinstance(name, str) else name.is_loopback


def names_of(host: str) -> set[Name]:
    """Return the names and addresses of a server that listens on `host`, but for local ones."""
    if is_loopback(name_of(host)):
        return set()
    machine = socket.gethostname()
    names = {name_of(one) for one in (host, machine, f"{machine}.local", socket.getfqdn())}
    with suppress(OSError):
        names |= {name_of(str(found[4][0])) for found in socket.getaddrinfo(host, None)}
    return names


def origin_of(address: str | None) -> tuple[Name, int] | None:
    """Return name and port of an http(s) origin; None if it is none."""
    scheme, _, netloc = (address or "").rstrip("/").partition("://")
    match = NETLOC.fullmatch(netloc)
    if match is None or scheme not in PORTS:
        return None
    return name_of(match[1]), int(match[2] or PORTS[scheme])


class PageGuard:
    """Lets a page's own requests pass, and those that open it; all others get 403.

    The page's own have an `Origin` that is their `Host`, and no `Sec-Fetch-Site` says otherwise. A
    `Host` is a name of the server, with any port: a forwarded port is another. No other
    site shows the page in a frame.

    Parameters
    ----------
    host
        What the server listens on.
    uploads
        The folder of uploads.
    public
        Returns the address that the page has elsewhere, if any: by a tunnel, or on the Hub.
    on_hub
        The page is a Space, which any name of the Hub may lead to, and its site shows in a frame.
    """

    def __init__(
        self,
        host: str,
        uploads: Path,
        *,
        public: Callable[[], str | None] = lambda: None,
        on_hub: bool = False,
    ) -> None:
        self._names = names_of(host)
        self._has_all_addresses = getattr(name_of(host), "is_unspecified", False)
        self._uploads, self._public, self._on_hub = uploads, public, on_hub
        self._coming = 0
        """Bytes of the uploads that are being received."""
        self._headers = [(b"content-security-policy", f"frame-ancestors {HUB}".encode())]
        if not on_hub:
            self._headers = [
                (b"content-security-policy", b"frame-ancestors 'none'"),
                (b"x-frame-options", b"DENY"),
                (b"cross-origin-opener-policy", b"same-origin"),
                (b"cross-origin-resource-policy", b"same-origin"),
            ]

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Stand before all middleware of an application, from before its first request."""
        app.middleware_stack = partial(self.answer, app.middleware_stack)
        yield

    async def answer(self, app: Asgi, scope: Message, receive: Receive, send: Send) -> None:
        """Let an application answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        size, refusal = 0, self._stranger(scope["method"], headers)
        if refusal is None and "multipart/" in headers.get("content-type", "").lower():
            size, refusal = self._upload(headers)
        if refusal is not None:
            await self._refuse(send, *refusal)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        self._coming += size
        try:
            await app(scope, receive, send_with_headers)
        finally:
            self._coming -= size

    async def _refuse(self, send: Send, status: int, reason: str) -> None:
        body = f"{reason}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            *self._headers,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _stranger(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return why a request is not the page's own, if it is not."""
        host = headers.get("host", "")
        public = origin_of(self._public())
        if not self._has_name(origin_of(f"http://{host}"), public):
            return 403, (
                f"this server has no name {host!r}: open the page by its address, or start the"
                " server with this name as its host"
            )
        origin = headers.get("origin")
        if origin is not None:
            theirs, scheme = origin_of(origin), origin.partition(":")[0]
            if theirs is None or theirs not in (origin_of(f"{scheme}://{host}"), public):
                return 403, f"this page answers no page of {origin!r}: open it by itself"
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return None
        is_opened = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        where = ("document", "iframe") if self._on_hub else ("document",)
        if is_opened and headers.get("sec-fetch-dest") in where:
            return None
        return 403, "this page answers no page of another site: open it by itself"

    def _has_name(self, place: tuple[Name, int] | None, public: tuple[Name, int] | None) -> bool:
        if place is None:
            return False
        name, _ = place
        return (
            self._on_hub
            or is_loopback(name)
            or name in self._names
            or (self._has_all_addresses and not isinstance(name, str))
            or (public is not None and name == public[0])
        )

    def _upload(self, headers: dict[str, str]) -> tuple[int, tuple[int, str] | None]:
        """Return the size of an upload, and why it is refused, if it is; old ones make room."""
        length = headers.get("content-length", "")
        if re.fullmatch("[0-9]{1,15}", length) is None or "transfer-encoding" in headers:
            return 0, (411, "an upload says its length: send Content-Length")
        size, limit = int(length), MOST_UPLOADS_MB * 10**6
        files: list[tuple[float, int, Path]] = []
        for path in self._uploads.rglob("*"):
            with suppress(OSError):  # Gradio deletes old ones, too
                if path.is_file():
                    status = path.stat()
                    files.append((status.st_mtime, BLOCK_BYTES + status.st_size, path))
        total = size + self._coming + sum(taken for _, taken, _ in files)
        old = [one for one in sorted(files) if time.time() - one[0] > IN_USE_S]
        if size > limit:
            reason = "at a time: choose fewer or smaller files"
        elif total - sum(taken for _, taken, _ in old) > limit:
            reason = "within a minute: wait, and choose the files again"
        else:
            for _, taken, path in old:
                if total <= limit:
                    break
                total -= taken
                path.unlink(missing_ok=True)
                if path.parent != self._uploads:
                    with suppress(OSError):  # it has other files
                        path.parent.rmdir()
            return size, None
        return 0, (413, f"more than {MOST_UPLOADS_MB:,} MB of uploads {reason}")
