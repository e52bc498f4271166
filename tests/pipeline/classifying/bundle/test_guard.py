"""Which requests a page answers, header by header; browsers send them in `test_other_sites.py`."""

import asyncio
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from savs.pipeline.classifying.bundle import guard as module
from savs.pipeline.classifying.bundle.guard import PageGuard

MACHINE = socket.gethostname()
PUBLIC = "https://abc.gradio.live"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def asked(
    guard: PageGuard,
    headers: dict[str, str],
    *,
    method: str = "GET",
    kind: str = "http",
    answered: list[int] | None = None,
) -> tuple[int, dict[str, str], str]:
    """Return the status, the headers and the text that a request gets."""
    sent: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        if answered is not None:
            answered.append(guard._coming)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        app = SimpleNamespace(middleware_stack=page)
        scope = {
            "type": kind,
            "method": method,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        async with guard.lifespan(app):
            await app.middleware_stack(scope, None, send)

    asyncio.run(run())
    if kind == "websocket":
        return sent[0]["code"], {}, ""
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], names, sent[1]["body"].decode()


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", 200),
        ("127.0.0.1", "localhost:9000", 200),  # a forwarded port
        ("127.0.0.1", "LOCALHOST.", 200),
        ("127.0.0.1", "[0:0:0:0:0:0:0:1]:7860", 200),
        ("127.0.0.1", "[::ffff:127.0.0.1]", 200),
        ("::1", "[::1]:7860", 200),
        ("127.0.0.1", "evil.example:7860", 403),
        ("127.0.0.1", "localhost.evil.example", 403),
        ("127.0.0.1", "192.0.2.7", 403),
        ("127.0.0.1", "x@localhost", 403),
        ("127.0.0.1", "localhost/evil.example", 403),
        ("127.0.0.1", "localhost, evil.example", 403),  # two headers
        ("127.0.0.1", "", 403),
        ("127.0.0.1", MACHINE + ".example", 403),
        ("192.0.2.7", "192.0.2.7:7860", 200),
        ("192.0.2.7", "localhost:7860", 200),  # forwarded to that address
        ("192.0.2.7", "192.0.2.8", 403),
        ("192.0.2.7", MACHINE, 200),
        ("2001:db8::7", "[2001:DB8:0::0007]:7860", 200),
        ("0.0.0.0", "192.0.2.7:7860", 200),  # any address: a container does not know its own
        ("::", "[2001:db8::1]", 200),
        ("0.0.0.0", MACHINE.upper() + ":7860", 200),
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", "abc.gradio.live", 200),
    ],
)
def test_a_server_has_its_own_names_alone(host, name, status) -> None:
    guard = PageGuard(host, Path("none"), public=lambda: PUBLIC)
    got, headers, text = asked(guard, {"host": name})
    assert got == status, text
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert (text == "page") == (status == 200)
    if status == 403:
        assert text.startswith(f"this server has no name {name!r}: open the page by its address")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "http://LOCALHOST:7860", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://localhost:7861"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://127.0.0.1:7860"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:7860.evil.example"}, 403),
        ({"origin": "http://localhost:7860@evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "file://localhost:7860"}, 403),
        ({"origin": PUBLIC}, 200),  # the tunnel may have put its own end as the host
        ({"origin": "http://abc.gradio.live"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none", **NAVIGATION}, 200),
        ({"sec-fetch-site": "cross-site", **NAVIGATION}, 200),  # a link leads here
        ({"sec-fetch-site": "same-site", **NAVIGATION}, 200),
        ({"sec-fetch-site": "cross-site", **NAVIGATION, "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", **NAVIGATION, "sec-fetch-dest": "object"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-dest": "document"}, 403),
        ({"origin": "http://localhost:7860", "sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin, cross-site"}, 403),
    ],
)
def test_a_page_answers_its_own_requests_and_those_that_open_it(headers, status) -> None:
    guard = PageGuard("127.0.0.1", Path("none"), public=lambda: PUBLIC)
    assert asked(guard, {"host": "localhost:7860", **headers})[0] == status
    form = {"host": "localhost:7860", **NAVIGATION, "sec-fetch-site": "cross-site"}
    assert asked(guard, form, method="POST")[0] == 403
    assert asked(guard, {"host": "localhost:7860"}, kind="websocket")[0] == 1008


def test_a_default_port_is_the_one_of_the_scheme() -> None:
    guard = PageGuard("0.0.0.0", Path("none"))
    for host, origin, status in (
        ("192.0.2.7", "https://192.0.2.7", 200),
        ("192.0.2.7:443", "https://192.0.2.7", 200),
        ("192.0.2.7:80", "https://192.0.2.7", 403),
    ):
        assert asked(guard, {"host": host, "origin": origin})[0] == status, host


def test_the_hub_alone_frames_a_space() -> None:
    own = "https://owner-pets.hf.space"
    guard = PageGuard("0.0.0.0", Path("none"), public=lambda: own, on_hub=True)
    framed = {**NAVIGATION, "sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site"}
    for host in ("owner-pets.hf.space", "pets.example", "10.0.0.4:7860"):  # as the Hub asks
        status, headers, _ = asked(guard, {"host": host, **framed})
        assert status == 200
        assert headers == {"content-security-policy": "frame-ancestors https://huggingface.co"}
        assert asked(guard, {"host": host, "origin": own})[0] == 200
        for origin in ("https://evil.hf.space", "https://huggingface.co"):
            assert asked(guard, {"host": host, "origin": origin}, method="POST")[0] == 403


def upload(guard: PageGuard, **headers: str) -> tuple[int, str]:
    form = {"host": "localhost", "content-type": "Multipart/Form-Data; boundary=x"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, text = asked(guard, form | names, method="POST")
    return status, text


def test_uploads_have_a_limit_and_the_oldest_make_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_UPLOADS_MB", 1)
    guard, now = PageGuard("127.0.0.1", tmp_path), time.time()
    for name, age in (("oldest", 300), ("old", 200), ("new", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(bytes(300_000))
        os.utime(tmp_path / name / "a.png", (now - age, now - age))
    assert upload(guard, content_length="50000") == (200, "page")
    assert len([*tmp_path.iterdir()]) == 3, "there was room"
    assert upload(guard, content_length="300000") == (200, "page")
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}
    refused = "more than 1 MB of uploads within a minute: wait, and choose the files again\n"
    assert upload(guard, content_length="900000") == (413, refused)
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}, "new ones may be in use"
    status, text = upload(guard, content_length="1000001")
    assert (status, text.partition(":")[0]) == (413, "more than 1 MB of uploads at a time")
    for headers in (
        {},
        {"content_length": "-1"},
        {"content_length": "1, 1"},
        {"content_length": "1", "transfer_encoding": "chunked"},
    ):
        assert upload(guard, **headers)[0] == 411
    # what others send meanwhile counts, as long as they send it
    coming: list[int] = []
    form = {"host": "localhost", "content-type": "multipart/form-data", "content-length": "9"}
    asked(guard, form, method="POST", answered=coming)
    assert coming == [9]
    assert guard._coming == 0
    assert upload(PageGuard("127.0.0.1", tmp_path / "none"), content_length="9")[0] == 200
