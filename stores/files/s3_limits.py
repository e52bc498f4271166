"""How S3 is asked: a server may be slow, endless, or lead elsewhere."""

import asyncio
import io
import re
import time
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError

from savs.stores.files.answers import AnswerError
from savs.stores.files.web import CONNECT_S, READ_S, REQUEST_S

SLOWEST_UPLOAD_BYTES_S = 2**17
"""An upload may take longer than other requests: one second more for so many bytes."""
MOST_BYTES = 2**26
"""Bytes of all answers to an operation that asks for no range: the pages of a listing, errors."""
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def s3_options() -> dict[str, Any]:
    """Return the options of fsspec for S3; those of its configuration files stay."""
    from fsspec.config import conf

    limits = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
    own = conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": limits | own | {"http_session_cls": _BoundedSession}}


@dataclass(slots=True)
class _Operation:
    """One call of fsspec: some requests, with their repetitions and the pages of a listing."""

    end: float = field(default_factory=lambda: time.monotonic() + REQUEST_S)
    bytes_left: int = field(default_factory=lambda: MOST_BYTES)


_OPERATIONS: WeakKeyDictionary[Any, _Operation] = WeakKeyDictionary()
"""Each runs as a task of its own in fsspec's loop."""


class _BoundedSession(AIOHTTPSession):
    """Requests that end in time, with no more bytes than were asked for, where they were sent."""

    async def send(self, request: Any) -> Any:
        operation = _OPERATIONS.setdefault(asyncio.current_task(), _Operation())
        operation.end += _upload_bytes(request) / SLOWEST_UPLOAD_BYTES_S
        request.stream_output = True  # or the body is read before it is known to be bounded
        left_s = max(0.0, operation.end - time.monotonic())
        limit = asyncio.timeout(left_s)
        try:
            async with limit:
                answer = await super().send(request)
                answer.raw = await _received(request, answer, operation)
        except TimeoutError as error:
            if limit.expired():
                raise ValueError("it takes too long") from error  # no library repeats that
            raise
        except HTTPClientError as error:
            refused = error.__context__
            raise refused if isinstance(refused, AnswerError) else error from None
        return answer

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session = await super()._get_session(proxy_url)
        if not session.trace_configs:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_refuse_redirect)
            trace.freeze()
            session.trace_configs.append(trace)
        return session


class _Body:
    """Bytes that were received, in the form in which aiobotocore reads them."""

    def __init__(self, url: Any, data: bytes) -> None:
        self.url = url
        self.content = self
        self._data = io.BytesIO(data)
        self._size = len(data)

    async def read(self, amount: int = -1) -> bytes:
        return self._data.read(amount)

    def at_eof(self) -> bool:
        return self._data.tell() == self._size

    def close(self) -> None:
        self._data.close()


async def _received(request: Any, answer: Any, operation: _Operation) -> _Body:
    """Return the body of an answer; AnswerError if it is longer than it may be."""
    asked = _RANGE.fullmatch(_header(request, "Range"))
    is_range = asked is not None and answer.status_code < 300
    most = int(asked[2]) - int(asked[1]) + 1 if asked and is_range else operation.bytes_left
    data = bytearray()
    while piece := await answer.raw.content.readany():
        data += piece
        if len(data) > most:
            answer.raw.close()
            raise AnswerError(
                f"the server sent more than the {most:,} bytes asked for"
                if is_range
                else f"the server sent more than {MOST_BYTES:,} bytes, the limit"
            )
    operation.bytes_left -= 0 if is_range else len(data)
    return _Body(answer.raw.url, bytes(data))


def _upload_bytes(request: Any) -> int:
    names = "X-Amz-Decoded-Content-Length", "Content-Length"
    return max(int(_header(request, name) or 0) for name in names)


def _header(request: Any, name: str) -> str:
    value = request.headers.get(name) or ""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


async def _refuse_redirect(session: Any, context: Any, params: Any) -> None:
    """Refuse a redirect, as botocore does: keys and data are for the server that was named."""
    del session, context
    target = params.response.headers.get("Location", "nowhere")
    raise AnswerError(f"the server leads to {target:.200}; use that address if you trust it")
