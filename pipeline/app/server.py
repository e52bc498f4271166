"""The server of the page: for this machine alone unless asked otherwise; it sends nothing else."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from savs.foundation.errors import ParameterError
from savs.foundation.files import real_path
from savs.foundation.imports import install_command
from savs.foundation.network import HUB
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.bundle.guard import PageGuard, is_loopback, name_of
from savs.pipeline.classifying.bundle.hub import find_classifier
from savs.pipeline.errors import MissingExtraError, OutputError
from savs.pipeline.evaluation.results import Results
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.option_texts import OTHER_MODEL
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection_config import load_config
from savs.pipeline.targets import target_of
from savs.stores import open_store
from savs.stores.format.layout import MANIFEST

LARGEST_UPLOAD_MB = 100
"""Largest file that can be dropped."""


def require_app_extra() -> None:
    """Raise MissingExtraError where Gradio is not installed."""
    if find_spec("gradio") is None:
        raise MissingExtraError(f"the app needs gradio; install with: {install_command('app')}")


def open_app(
    place: Annotated[str | Path, Option(metavar="STORE|RESULT|CLASSIFIER")],
    *,
    media_root: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    host: Annotated[str, Option(metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, Option(min=1)] = 7860,
    share: Annotated[bool, Option(level="python")] = False,
    model: Annotated[
        str | None,
        OTHER_MODEL,
    ] = None,
    revision: Annotated[str | None, Option(level="python")] = None,
    started: Annotated[Callable[[str], None] | None, Option(level="python")] = None,
    spelled: Annotated[Callable[[str], str], Option(level="python")] = str,
    reporting: Reporting = SILENT,
) -> None:
    """Serve a page to classify, label, and look at results, until the process is interrupted.

    Parameters
    ----------
    place
        Feature store, a result in it such as STORE/results/vote, folder of a classifier, or
        hf://owner/name.
    media_root
        Folder of the images (default: the store's thumbnails).
    host
        Address to listen on: other machines reach 0.0.0.0.
    port
        Port to listen on.
    share
        Make a public address, by a server of Hugging Face (Gradio).
    model
        Model, if it is not where the classifier says.
    revision
        Revision of the model (default: the classifier's).
    started
        Receives the address once the page answers.
    spelled
        Names the parameters in a message as its user sets them.
    reporting
        Receives messages.
    """
    require_app_extra()
    require_media_root(media_root)
    folder, store = find_folders(place, reporting.say)
    loading = {"model": model, "revision": revision, "dtype": None, "placing": {}}
    root = None if media_root is None else Path(media_root)
    workspace = Workspace(folder, store, root, loading, spelled)
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
            _tell(address, public, host, share=share, say=reporting.say)
            if started is not None:
                started(address)
            while True:
                interruption.raise_if_interrupted()
                time.sleep(0.2)
        except KeyboardInterrupt:
            interruption.explain(reporting.say, "the app is closed; all labels are in the store")
            raise
        finally:
            page.close(verbose=False)


def find_folders(place: str | Path, say: Callable[[str], None]) -> tuple[Path, Path | None]:
    """Return the folder of a classifier, and its store; None for a classifier alone."""
    if (store := Path(place) / MANIFEST).exists():
        path = store.parent
        opened = open_store(path)
        target = target_of(opened.manifest.identity.benchmark)
        results = Results(path)
        if not results.selected:
            return results.place(target.default_readout).folder, path
        folder = results.find().folder
        config = load_config(folder)
        config.target.require("the app", folder)
        require_fit(config, opened.manifest, path, of=folder)
        return folder, path
    if "://" in str(place) and not str(place).startswith(HUB):
        raise ParameterError(f"the app reads folders of this machine; copy {place} here first")
    folder = find_classifier(place, say).folder
    load_config(folder)  # that it is a classifier is said now
    home = real_path(folder).parent.parent
    return folder, home if (home / MANIFEST).exists() else None


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
        folder = TemporaryDirectory(prefix="savs-app-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"there is no room for uploads: {error.strerror}; set TMPDIR") from error
    with folder as path:
        yield Path(path)


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
