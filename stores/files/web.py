"""How a store at http or https is asked: a server may be slow, endless, or lead elsewhere.

It needs aiohttp, of the extra `remote`: only an address of the web imports it.
"""

import asyncio
import re
import socket
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from savs.foundation.network import is_public
from savs.stores.errors import AnswerError

CONNECT_S = READ_S = 20.0
"""How long a server may take to answer, and be silent."""
REQUEST_S = 120.0
"""How long a request may take, redirects included."""
_RANGE = re.compile(r"bytes=(\d+)-(\d+)", re.ASCII)


@cache
def web_options() -> dict[str, Any]:
    """Return the options of fsspec for http and https: one object, so that there is one client."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    limits = aiohttp.ClientTimeout(total=REQUEST_S, sock_connect=CONNECT_S, sock_read=READ_S)
    return {
        "client_kwargs": {
            "timeout": limits,
            "trace_configs": [trace],
            "response_class": _BoundedResponse,
        }
    }


class _BoundedResponse(aiohttp.ClientResponse):
    """An answer of which no more is read than was asked for."""

    async def read(self) -> bytes:
        byte_range = _RANGE.fullmatch(self.request_info.headers.get("Range", ""))
        if byte_range is None:
            return await super().read()
        most, data = int(byte_range[2]) - int(byte_range[1]) + 1, bytearray()
        while piece := await self.content.readany():
            data += piece
            if len(data) > most:
                self.close()
                raise AnswerError(f"the server sent more than the {most:,} bytes asked for")
        return bytes(data)


async def _check_redirect(session: Any, context: Any, params: Any) -> None:
    """Refuse a redirect from another host into a private network."""
    del session, context
    target = urljoin(str(params.url), params.response.headers.get("Location", ""))
    parts = urlsplit(target)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        raise AnswerError(f"the server leads to {target:.200}, expected http or https")
    if host == params.url.host:
        return
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    if not all(is_public(str(entry[4][0])) for entry in addresses):
        raise AnswerError(f"the server leads to {host}, in a private network")
