"""What `savs doctor` checks, and the problems among it; a test of some seconds is a part."""

import io
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from packaging.requirements import Requirement
from PIL import Image, features

from savs.datasets import Example
from savs.foundation.errors import SavsError
from savs.foundation.files import FULL
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.extraction.model.model_options import EXTRA_PACKAGES
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.pipeline.readouts import READOUTS
from savs.pipeline.running.cores import count_cores
from savs.pipeline.selection.selection import select
from savs.stores import Identity, LayerGrid, ShardContent, open_store, open_writer
from savs.stores.format.layout import digest

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
"""Variables of which the report only shows that they are set."""
LEFT_OUT = ("all", "dev", "docs")
"""Extras that are not listed: one has the packages of others, two are for developers."""
MEMORY = Path("/proc/meminfo")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
FORMATS = {"JPEG": "jpg", "PNG": None, "WEBP": "webp", "AVIF": "avif", "GIF": None, "TIFF": None}
"""Image format -> the part of Pillow that decodes it, where one is needed."""
ROWS, HEADS, WIDTH = 12, 4, 8
CLASSES = ("a", "b")
SPLITS = ("train", "test")
IDENTITY = Identity(
    model={"name": "self-test", "revision": None, "class": "None", "config": "", "weights": ""},
    processor={"class": "None", "settings": ""},
    dtype="float32",
    benchmark={"name": "general", "options": {}},
    prompt="",
    grid=(LayerGrid(0, tuple(range(HEADS)), WIDTH),),
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package that savs, or one of its extras, asks for."""

    name: str
    extra: str | None
    """None if savs cannot do without it."""
    asked: str
    """Versions, such as `>=2.0`."""
    version: str | None
    """What is installed; None for nothing."""
    fits: bool
    """Whether that is what is asked for."""

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if nothing is, and for an extra that is not installed."""
        if self.fits or (self.version is None and self.extra):
            return None
        state = "is not installed" if self.version is None else f"is {self.version}"
        return f"{self.name} {state}, expected {self.asked or 'any version'}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An installation and its machine, without secrets and without the user's name."""

    savs: str
    """Version."""
    system: Mapping[str, str]
    memory: Mapping[str, int]
    """Bytes, `total` and, on Linux, `available`."""
    disks: Mapping[str, Mapping[str, object]]
    variables: Mapping[str, str]
    packages: tuple[Package, ...]
    decoders: Mapping[str, bool]
    """Image format -> whether it is decoded; `video` where PyAV is installed."""
    devices: Mapping[str, Any] | None
    """What torch sees; None if it is not installed."""
    self_test_s: float
    problems: tuple[str, ...] = field(default=())
    """What a user should mend; empty if all is well."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that `savs doctor --json` prints."""
        return asdict(self)


def diagnose(environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at the installation and its machine, and run a test of some seconds.

    Nothing is written but temporary files, and no connection is made.
    """
    packages = tuple(_packages())
    troubles = [package.problem for package in packages]
    devices = None
    if all(find_spec(name) for name in EXTRA_PACKAGES):
        from savs.pipeline.extraction.model.devices import describe_devices

        devices = describe_devices()
    disks = describe_disks(environ)
    troubles += [
        f"no file can be written in {disk['path']}, the folder of {name} files"
        for name, disk in disks.items()
        if not disk["writable"] and name != "here"
    ]
    formats = decoders()
    troubles += [f"{name} images cannot be decoded" for name, works in formats.items() if not works]
    started = time.monotonic()
    troubles += run_self_test()
    return Diagnosis(
        savs=version("savs"),
        system=describe_system(),
        memory=memory_bytes(),
        disks=disks,
        variables=describe_variables(environ),
        packages=packages,
        decoders=formats | {"video": find_spec("av") is not None},
        devices=devices,
        self_test_s=round(time.monotonic() - started, 2),
        problems=tuple(text for text in troubles if text),
    )


def _packages() -> Iterator[Package]:
    """Yield what savs asks for, in the order of its metadata."""
    for text in requires("savs") or ():
        requirement = Requirement(text)
        extra = _EXTRA.search(str(requirement.marker or ""))
        if extra is not None and extra[1] in LEFT_OUT:
            continue
        installed = None
        with suppress(PackageNotFoundError):
            installed = version(requirement.name)
        asked = requirement.specifier
        fits = installed is not None and asked.contains(installed, prereleases=True)
        yield Package(requirement.name, extra and extra[1], str(asked), installed, fits)


def describe_system() -> dict[str, str]:
    """Return the operating system, the Python, and how many cores this process may use."""
    return {
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": f"{count_cores()} of {os.cpu_count()}",
    }


def memory_bytes() -> dict[str, int]:
    """Return the bytes of memory in all, and those that are free where the system says so."""
    if not hasattr(os, "sysconf"):
        return {}
    sizes = {"total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}
    for line in MEMORY.read_text().splitlines() if MEMORY.exists() else ():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            sizes["available"] = int(value.split()[0]) * 1024
    return sizes


def describe_disks(environ: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return where files go, with the free bytes there and whether a file can be written.

    These are the current folder, the one of temporary files and, if it is there, the cache of
    models and data sets.
    """
    folders = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    home = environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    cache = Path(environ.get("HF_HUB_CACHE") or Path(home, "hub"))  # as the hub's client has it
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
    variables = {name: environ[name] for name in SHOWN if name in environ}
    variables |= {name: "set" for name in sorted(environ) if name.startswith("SAVS_")}
    variables |= {name: "set" for name in IS_SET if environ.get(name)}
    if endpoint := environ.get("HF_ENDPOINT"):
        variables["HF_ENDPOINT"] = urlsplit(endpoint).hostname or "set"  # may have a password in it
    return dict(sorted(variables.items()))


def without_home(path: Path) -> str:
    """Return a path with `~` for the user's folder, which may have their name."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def decoders() -> dict[str, bool]:
    """Return which image formats are decoded, each tried on an image of two colours."""
    return {
        name: (part is None or features.check(part) is True) and _decodes(name)
        for name, part in FORMATS.items()
    }


def _decodes(name: str) -> bool:
    drawn = Image.new("RGB", (16, 16), "red")
    drawn.paste("blue", (8, 0, 16, 16))
    file = io.BytesIO()
    try:
        drawn.save(file, name)
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), np.int64)
    except (OSError, KeyError, ValueError):
        return False
    left, right = pixels[8, 3], pixels[8, 12]
    return bool(left[0] > left[2] and right[2] > right[0])


def run_self_test() -> list[str]:
    """Write a tiny store, read it, select heads and evaluate; return what fails.

    Each built-in readout must classify separate classes without a mistake.
    """
    failures = []
    with tempfile.TemporaryDirectory(prefix="savs-") as folder:
        try:
            _write(Path(folder) / "store")
            store = open_store(Path(folder) / "store")
        except (SavsError, OSError) as error:
            return [f"a small store cannot be written and read: {error}"]
        for readout in READOUTS:
            try:
                result = evaluate(store, select(store, heads=2, readout=readout))
                accuracy = result.metrics[0].value
            except Exception as error:  # whatever is broken is to be told
                failures.append(f"readout {readout} fails: {error!r}")
                continue
            if accuracy != 1:
                failures.append(
                    f"readout {readout} is right in {accuracy:.0%} of a test of all right"
                )
    return failures


def _write(folder: Path) -> None:
    """Write a store whose classes lie far apart in every head."""
    examples = {
        split: [
            Example(f"{split}:{n}", split, n, CLASSES[n % 2], "?", (f"{split}-{n}.png",))
            for n in range(ROWS)
        ]
        for split in SPLITS
    }
    rows = {split: planned_rows(of_split) for split, of_split in examples.items()}
    with open_writer(folder, IDENTITY, rows) as writer:
        for spec in writer.missing():
            writer.write(spec, _content(examples[spec.split]))
        writer.seal()


def _content(examples: Sequence[Example]) -> ShardContent:
    rng = np.random.default_rng(SPLITS.index(examples[0].split))
    features_of_heads = rng.normal(0, 0.1, (HEADS, ROWS, WIDTH)).astype(np.float32)
    features_of_heads[:, 0::2, 0] += 5
    features_of_heads[:, 1::2, 1] += 5
    return ShardContent(
        layers={0: features_of_heads},
        examples=example_columns(examples, [(digest(example.id),) for example in examples]),
        skipped=example_columns([], []) | {"reason": []},
        run={},
    )
