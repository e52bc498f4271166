"""The machine: system, cores, memory, disks, and variables that change how runs behave."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from savs.foundation.files import FULL

SHOWN = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TRANSFORMERS_OFFLINE",
)
"""Variables whose values are shown: none of them can hold a secret."""
IS_SET = ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""Variables of which is only said that they are set."""
MEMORY = Path("/proc/meminfo")


def describe_system() -> dict[str, str]:
    """Return the operating system, the Python, and how many cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": f"{allowed} of {os.cpu_count()}",
    }


def memory_bytes() -> dict[str, int]:
    """Return the bytes of memory in all, and those that are free where the system says so."""
    if not hasattr(os, "sysconf"):
        return {}
    found = {"total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}
    for line in MEMORY.read_text().splitlines() if MEMORY.exists() else ():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            found["available"] = int(value.split()[0]) * 1024
    return found


def describe_disks(environ: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return where files go, with the free bytes there and whether a file can be written.

    These are the current folder, the one of temporary files and, if it is there, the cache of
    models and data sets.
    """
    folders = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    cache = hub_cache(environ)
    if cache.is_dir():
        folders["hub cache"] = cache
    return {
        name: {
            "path": without_home(folder),
            "free_bytes": shutil.disk_usage(folder).free,
            "writable": is_writable(folder),
        }
        for name, folder in folders.items()
    }


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder of what the Hugging Face Hub sent, by the variables of its client."""
    home = Path(environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    return Path(environ.get("HF_HUB_CACHE") or home / "hub")


def is_writable(folder: Path) -> bool:
    """Return whether a file can be made in a folder; one on a full disk can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno in FULL


def describe_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that change how runs behave, without the values of secrets.

    Examples
    --------
    >>> describe_variables({"HF_TOKEN": "hf_secret", "SAVS_EXTRACT_MODEL": "demo", "HOME": "/me"})
    {'HF_TOKEN': 'set', 'SAVS_EXTRACT_MODEL': 'set'}
    """
    found = {name: environ[name] for name in SHOWN if name in environ}
    found |= {name: "set" for name in sorted(environ) if name.startswith("SAVS_")}
    found |= {name: "set" for name in IS_SET if environ.get(name)}
    if endpoint := environ.get("HF_ENDPOINT"):
        found["HF_ENDPOINT"] = urlsplit(endpoint).hostname or "set"  # may have a password in it
    return dict(sorted(found.items()))


def without_home(path: Path) -> str:
    """Return a path with `~` for the user's folder, which may have their name."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
