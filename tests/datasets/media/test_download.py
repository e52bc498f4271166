import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.download import Fetching
from savs.datasets.media.media import MediaRules
from savs.datasets.rows.media_names import is_address


@dataclass
class Host:
    """A server on this machine that remembers what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            name = self.path.partition("?")[0]
            if name == "/file":
                self.moved("file:///etc/passwd")
            elif name == "/ftp":
                self.moved("ftp://127.0.0.1/x")
            elif name == "/moved":
                self.moved("/1.png")
            elif name == "/silent":
                found.over.wait(60)
            elif name == "/short":
                self.answer(b"12345", length=10)
            elif name in ("/1.png", "/2.png", "/empty"):
                self.answer(b"" if name == "/empty" else name.encode())
            elif name == "/big":
                self.answer(b"." * 5000)
            else:
                self.send_error(404, "nothing here")

        def moved(self, where: str) -> None:
            self.send_response(302)
            self.send_header("Location", where)
            self.end_headers()

        def answer(self, data: bytes, length: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def of_this_machine(folder: Path | None = None, **options: Any) -> Fetching:
    return Fetching(folder, allow_private=True, **options)


def test_nothing_is_fetched_unless_it_was_asked_for(tmp_path: Path, host: Host) -> None:
    media, name = MediaFolder(tmp_path), f"{host.url}/1.png"
    assert (media.has(name), media.size(name)) == (False, None)
    with pytest.raises(MediaError, match=r"/1\.png is a URL and was read without --fetch-urls$"):
        media.read(name)
    assert host.asked == []


def test_a_medium_is_fetched_once_and_kept(tmp_path: Path, host: Host) -> None:
    kept = tmp_path / "store.fetched"
    media = MediaFolder(tmp_path, rules=MediaRules(fetching=of_this_machine(kept)))
    name = f"{host.url}/1.png?size=2"
    assert (media.has(name), media.size(name)) == (True, None)
    assert media.read(name) == media.read(name) == b"/1.png"
    assert media.size(name) == 6
    again = MediaFolder(tmp_path, rules=MediaRules(fetching=of_this_machine(kept)))
    assert again.read(name) == b"/1.png"
    assert host.asked == ["/1.png?size=2"]
    assert [path.read_bytes() for path in kept.iterdir()] == [b"/1.png"]


def test_without_a_folder_nothing_is_kept(tmp_path: Path, host: Host) -> None:
    media = MediaFolder(tmp_path, rules=MediaRules(fetching=of_this_machine()))
    assert media.read(f"{host.url}/1.png") == b"/1.png"
    assert list(tmp_path.iterdir()) == []


def test_several_are_fetched_beforehand(tmp_path: Path, host: Host) -> None:
    fetching = of_this_machine(tmp_path / "kept")
    names = ["a.png", *(f"{host.url}/{n}" for n in ("1.png", "2.png", "3.png", "1.png"))]
    assert fetching.fetch_all(names) == [
        f"2 of 3 URLs are in {tmp_path / 'kept'}; 12 bytes were fetched, 100,000,000,000 are"
        " allowed (--fetch-gb)"
    ]
    assert sorted(host.asked) == ["/1.png", "/2.png", "/3.png"]
    with pytest.raises(MediaError, match=r"/3\.png cannot be fetched: nothing here"):
        fetching.fetch(names[3])
    assert len(host.asked) == 3  # what failed is not tried again
    assert fetching.fetch_all(["a.png"]) == Fetching().fetch_all(names) == []


def test_a_redirect_is_followed_to_the_web_alone(host: Host) -> None:
    fetching = of_this_machine()
    assert fetching.fetch(f"{host.url}/moved") == b"/1.png"
    for name in ("file", "ftp"):
        with pytest.raises(MediaError, match=f"/{name} cannot be fetched: "):
            fetching.fetch(f"{host.url}/{name}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.png", "cannot be fetched: nothing here"),
        ("silent", "cannot be fetched: .*timed out"),
        ("short", "cannot be fetched: "),
        ("big", r"cannot be fetched: it has more than 1,000 bytes"),
        ("empty", r"is empty \(0 bytes\)"),
    ],
)
def test_what_cannot_be_fetched_is_named_and_leaves_nothing(
    tmp_path: Path, host: Host, name: str, reason: str
) -> None:
    fetching = of_this_machine(
        tmp_path / "kept", timeout_s=0.3 if name == "silent" else 60, max_bytes=1000
    )
    media = MediaFolder(tmp_path, rules=MediaRules(fetching=fetching))
    with pytest.raises(MediaError, match=rf"^{host.url}/{name} {reason}"):
        media.read(f"{host.url}/{name}")
    kept = list((tmp_path / "kept").glob("*"))
    assert [path.read_bytes() for path in kept] == ([b""] if name == "empty" else [])


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/x.png", "http://no such host/x.png", "http://[::1/x", "http://"]
)
def test_an_address_without_a_server_is_named(address: str) -> None:
    with pytest.raises(MediaError, match="cannot be fetched: "):
        of_this_machine(timeout_s=1).fetch(address)


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
