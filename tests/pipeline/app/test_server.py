import os
import socket

import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.app import server


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_one_line(savs, workspace, taken) -> None:
    done = savs("app", workspace.path, "--port", taken)
    assert done.returncode == 2
    assert done.stderr == (f"error: port {taken} of 127.0.0.1 is in use; pass another --port\n")


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("no.such.host.invalid", "which has no address; pass 127.0.0.1"),
        ("192.0.2.1", "cannot listen on 192.0.2.1, port 7860"),  # TEST-NET-1: nobody's
    ],
)
def test_a_host_that_is_not_here_is_named(host, message) -> None:
    with pytest.raises(ParameterError, match=message):
        server.require_free(host, 7860)


def test_an_address_in_brackets_is_that_address(savs, workspace, taken) -> None:
    done = savs("app", workspace.path, "--host", "[127.0.0.1]", "--port", taken)
    assert done.stderr == f"error: port {taken} of 127.0.0.1 is in use; pass another --port\n"
    done = savs("app", workspace.path, "--host", "127.0.0.2", "--port", taken)
    assert f"port {taken} of 127.0.0.1 is in use" in done.stderr, "Gradio wants it, too"


def test_without_gradio_the_command_says_how_to_install_it(savs, workspace, monkeypatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    done = savs("app", workspace.path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the app needs gradio; install with: pip install '.[app]'")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["https://example.invalid/store"], "the app reads folders of this machine"),
        (
            ["{store}", "--media-root", "nowhere"],
            "--media-root is 'nowhere', which is",
        ),
        (["{store}/results/none"], "results/none does not exist"),
        (["{store}", "--port", "70000"], "--port is 70000, expected 1 to 65535"),
    ],
)
def test_a_wrong_argument_is_named(savs, workspace, taken, arguments, message) -> None:
    port = [] if "--port" in arguments else ["--port", taken]  # nothing is served by mistake
    done = savs("app", *[one.format(store=workspace.path) for one in arguments], *port)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_variable_of_gradio_opens_a_folder_or_sends_anything(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ |= {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True", "NO_PROXY": "corp"}
    os.environ.pop("no_proxy", None)
    server._quiet(tmp_path, "10.0.0.1")
    assert "GRADIO_ALLOWED_PATHS" not in os.environ
    assert "GRADIO_SHARE" not in os.environ
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)
    assert os.environ["NO_PROXY"] == "corp,10.0.0.1,127.0.0.1,localhost"


def test_uploads_go_with_the_server_and_others_cannot_read_them() -> None:
    with server._private_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "photo.jpg").write_bytes(b"x")
    assert not folder.exists()


def test_other_addresses_are_said_aloud() -> None:
    said: list[str] = []
    server._tell("http://127.0.0.1:1/", None, "127.0.0.1", share=False, say=said.append)
    assert said == ["savs app is at http://127.0.0.1:1/ (Ctrl-C ends it)"]
    server._tell("http://127.0.0.2:1/", None, "127.0.0.2", share=False, say=said.append)
    assert len(said) == 2, "nobody else reaches it"
    server._tell("http://[::]:1/", None, "::", share=False, say=said.append)
    assert said[-2:-1] == ["savs app is at http://localhost:1/ (Ctrl-C ends it)"]
    server._tell("http://0.0.0.0:1/", None, "0.0.0.0", share=False, say=said.append)
    assert said[-1].startswith("note: it listens on 0.0.0.0: whoever reaches this machine")
    server._tell("http://127.0.0.1:1/", "https://x.gradio.live", "localhost", share=True,
                 say=said.append)  # fmt: skip
    assert "https://x.gradio.live" in said[-1]
