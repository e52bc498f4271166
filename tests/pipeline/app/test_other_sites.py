"""What pages of other origins can do to the app, in Chromium: nothing but open it."""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Tab
from other_site import UPLOAD, attack, other_site
from served_app import AppHere, app_here, served_app

import savs

pytestmark = [
    pytest.mark.browser,
    pytest.mark.thorough,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs gradio"),
]

LABEL = "iframe[title='the example to label']"
EXAMPLE = "document.querySelector('#example').innerText"
TEXT = "document.body && document.body.innerText"


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """Forward another port to one of this machine, as `ssh -L` does; yield it."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with closing(target):
            try:
                while data := source.recv(2**16):
                    target.sendall(data)
            except OSError:
                pass

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def labelled(store_of_many, tmp_path_factory) -> Path:
    return Path(shutil.copytree(store_of_many, tmp_path_factory.mktemp("store") / "scenes"))


@pytest.fixture(scope="module")
def app(labelled, tmp_path_factory) -> Iterator[AppHere]:
    with app_here(tmp_path_factory.mktemp("served"), labelled) as app:
        yield app


@pytest.fixture
def tab(chrome) -> Iterator[Tab]:
    tab = chrome.tab()
    yield tab
    tab("Page.close")


def opened(tab: Tab, name: str) -> None:
    """Open a tab of the page."""
    tabs = "[...document.querySelectorAll('button[role=tab]')]"
    button = f"{tabs}.find(e => e.innerText.includes({name!r}))"
    tab.click(button, until=f"{button}.ariaSelected == 'true'")


def uploads(app: AppHere) -> list[Path]:
    return [path for path in app.log.parent.glob("savs-app-*/**/*") if path.is_file()]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param("127.0.0.2", marks=pytest.mark.slow),
        pytest.param("::1", marks=pytest.mark.slow),
    ],
)
def test_a_page_of_another_origin_neither_uploads_nor_reads_nor_frames(
    tab, app, labelled, tmp_path, host
) -> None:
    of_host = served_app(tmp_path, labelled, "--host", host)
    with nullcontext(app) if host == "127.0.0.1" else of_host as app:
        assert urlsplit(app.address).hostname == host
        attack(tab, app.address)
        assert uploads(app) == []
        # a link to it works, and so do uploads of the page itself
        tab.run(f"location = {app.address!r}")
        tab.wait("document.title == 'savs: scenes'")
        tab.wait("!!document.querySelector('#savs-drop input[type=file]')")
        assert tab.run(UPLOAD % ("cors", app.address)) == 200
        assert [path.read_text() for path in uploads(app)] == ["x"]


@pytest.mark.slow
def test_a_forwarded_port_is_the_page_itself(tab, labelled, tmp_path) -> None:
    with served_app(tmp_path, labelled) as app, forwarded(urlsplit(app.address).port or 0) as port:
        near = f"http://localhost:{port}/"
        tab.open(near)
        tab.wait("!!document.querySelector('.savs-note, .savs-notice')")  # the server was asked
        assert tab.run(UPLOAD % ("cors", near)) == 200
        # from there the port of the server itself is another origin
        assert tab.run(UPLOAD % ("no-cors", app.address)) in (0, "failed")
        assert len(uploads(app)) == 1


def test_a_page_in_the_frame_that_is_not_ours_labels_nothing(tab, app, labelled):
    """Whoever leads the frame elsewhere, what comes from there has no nonce, and hears no key."""
    tab.open(app.address)
    tab.wait("!!document.querySelector('.savs-note, .savs-notice')")
    opened(tab, "Label")
    name = tab.wait_in_frame(LABEL, EXAMPLE)
    tab.wait(f"!!document.querySelector({LABEL!r}).style.height")
    choice = {"act": "label", "id": name, "label": ["l00"]}
    with other_site(json.dumps({"choose": choice, "height": 77})) as port:
        frame = f"document.querySelector({LABEL!r})"
        tab.run(
            f"new Promise(done => {{ {frame}.onload = done;"
            f" {frame}.contentWindow.location = 'http://localhost:{port}/' }}).then(() => 1)"
        )
        tab.run("document.activeElement.blur()")
        tab.press("n", "n")  # none of the labels
        tab.run("new Promise(done => setTimeout(done, 1000))")
        assert tab.run(f"{frame}.style.height") != "77px"
        assert len(savs.open_store(labelled).ids("unlabelled")) == 20
    opened(tab, "Classify")
    opened(tab, "Label")
    tab.wait_in_frame(LABEL, f"{EXAMPLE} == {name!r}")  # nobody labelled it
    tab.press("n", "n")
    tab.wait_in_frame(LABEL, f"{EXAMPLE} != {name!r}")
    assert "1 label given" in tab.in_frame(LABEL, TEXT)
    train = savs.open_store(labelled).examples("train")
    assert train.filter(id=name)["label"].item() == "[]"
