"""The server of the page: for this machine alone unless asked otherwise; it sends nothing else."""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from savs.foundation.errors import ParameterError
from savs.foundation.imports import install_command
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.bundle.guard import PageGuard, is_loopback, name_of
from savs.pipeline.errors import MissingExtraError, OutputError
from savs.pipeline.running import signals as interruption

LARGEST_UPLOAD_MB = 100
"""Largest file that can be dropped."""


def require_app_extra() -> None:
    """Raise MissingExtraError where Gradio is not installed."""
    if find_spec("gradio") is None:
        raise MissingExtraError(f"the app needs gradio; install with: {install_command('app')}")


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    share: bool,
    say: Callable[[str], None],
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve the page of a workspace until the process is interrupted.

    `started` is given its address once it answers.

    Raises
    ------
    MissingExtraError
        Gradio is not installed.
    ParameterError
        The host is none of this machine, or the port is taken.
    OutputError
        There is no room for uploads.
    """
    require_app_extra()
    host = host.strip("[]")
    require_free(host, port)
    require_free("127.0.0.1", port)  # Gradio tries it, too
    with _private_folder() as uploads:
        _quiet(uploads, host)
        from savs.pipeline.app.frames import HERE
        from savs.pipeline.app.page import build_page, theme

        page = build_page(workspace)
        guard = PageGuard(host, uploads, public=lambda: page.share_url)
        _, address, public = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            share=share,
            quiet=True,
            prevent_thread_lock=True,
            inbrowser=False,
            show_error=False,
            ssr_mode=False,
            num_workers=0,  # one of its own would keep the port if this process is killed
            run_history=False,
            footer_links=[],
            max_file_size=f"{LARGEST_UPLOAD_MB}mb",
            allowed_paths=None,
            enable_monitoring=False,
            mcp_server=False,
            theme=theme(),
            head=(HERE / "head.html").read_text("utf-8"),
            app_kwargs={"lifespan": guard.lifespan},
        )
        try:
            _tell(address, public, host, share=share, say=say)
            if started is not None:
                started(address)
            while True:
                interruption.raise_if_asked()
                time.sleep(0.2)
        except KeyboardInterrupt:
            interruption.explain(say, "the app is closed; all labels are in the store")
            raise
        finally:
            page.close(verbose=False)


def _tell(
    address: str, public: str | None, host: str, *, share: bool, say: Callable[[str], None]
) -> None:
    say(f"savs app is at {address.replace('[::]', 'localhost')} (Ctrl-C ends it)")
    if not is_loopback(name_of(host)):
        say(
            f"note: it listens on {host}: whoever reaches this machine can see the media of the"
            " store, classify, and label; omit `host` to serve this machine alone"
        )
    if share:
        say(
            f"note: whoever knows {public} can do so from anywhere, by a server of Hugging Face"
            if public
            else "note: Gradio could not make a public address; the app is on this machine alone"
        )


def require_free(host: str, port: int) -> None:
    """Raise ParameterError unless a server can listen on this address.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as taken:
    ...     require_free("127.0.0.1", taken.getsockname()[1])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    savs.foundation.errors.ParameterError: port ... of 127.0.0.1 is in use; pass another `port`
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((host, port))
            server.listen(1)
    except socket.gaierror as error:
        raise ParameterError(f"`host` is {host!r}, which has no address; pass 127.0.0.1") from error
    except OverflowError as error:
        raise ParameterError(f"`port` is {port}, expected 1 to 65535") from error
    except OSError as error:
        if "in use" in (error.strerror or ""):
            raise ParameterError(f"port {port} of {host} is in use; pass another `port`") from error
        raise ParameterError(
            f"cannot listen on {host}, port {port}: {error.strerror}; pass another `host` or `port`"
        ) from error


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder for uploads that only this user can read, and remove it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="savs-app-"))
    except OSError as error:
        raise OutputError(f"there is no room for uploads: {error.strerror}; set TMPDIR") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quiet(uploads: Path, host: str) -> None:
    """Set up Gradio, before it is imported: nothing is sent, and no variable opens a folder."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("no_proxy", "NO_PROXY"):  # Gradio asks itself whether it runs
        others = os.environ.get(name)
        os.environ[name] = ",".join(filter(None, [others, host, "127.0.0.1", "localhost"]))
