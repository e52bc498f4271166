"""What a report of a bug needs, without secrets and without the user's name: `savs doctor`."""

import io
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from savs.pipeline.running.formatting import counted, format_bytes
from savs.pipeline.running.options import Option

if TYPE_CHECKING:
    from savs.foundation.installed import Additions

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
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
FORMATS = {"JPEG": "jpg", "PNG": None, "WEBP": "webp", "AVIF": "avif", "GIF": None, "TIFF": None}
"""Image format -> the part of Pillow that decodes it, where one is needed."""


def diagnose(
    environ: Annotated[Mapping[str, str], Option(level="python")] = os.environ,
) -> tuple[dict[str, Any], list[str]]:
    """Return facts about the installation and its machine, and the problems among them.

    A test of some seconds is a part. Nothing is written but temporary files, and no connection is
    made.

    Parameters
    ----------
    environ
        Variables of the environment.
    """
    from savs.pipeline.running.cores import count_cores

    python = f"{platform.python_implementation()} {platform.python_version()}"
    facts: dict[str, Any] = {
        "savs": metadata.version("savs"),
        "system": platform.platform(),
        "python": python,
        "cores": f"{count_cores()} of {os.cpu_count()}",
    }
    if hasattr(os, "sysconf"):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory"] = format_bytes(size)
    problems = []
    for name, folder in _folders(environ).items():
        path, free = without_home(folder), shutil.disk_usage(folder).free
        facts[f"disk {name}"] = f"{path}, {format_bytes(free)} free"
        if not is_writable(folder):
            facts[f"disk {name}"] += ", cannot be written"
            if name != "here":
                problems.append(f"no file can be written in {path}, the folder of {name} files")
    facts["variables"] = describe_variables(environ)
    for text in metadata.requires("savs") or ():
        installed = None
        with suppress(metadata.PackageNotFoundError):
            installed = metadata.version(re.split(r"[^\w.-]", text, maxsplit=1)[0])
        name, extra, problem = package_facts(text, installed)
        if extra not in LEFT_OUT:
            group = facts.setdefault(f"extra {extra}" if extra else "packages", {})
            group[name] = installed or "not installed"
            problems += [problem] if problem else []
    for additions in _additions():
        added, faults = additions.all()
        problems += faults.values()
        if added:
            facts[f"added {additions.group}"] = {n: f"by {one.package}" for n, one in added.items()}
    facts["devices"] = _devices()
    decoded = {name: decodes(name, part) for name, part in FORMATS.items()}
    problems += [f"{name} images cannot be decoded" for name, works in decoded.items() if not works]
    decoded["video"] = find_spec("av") is not None
    facts["decoders"] = {name: "yes" if works else "no" for name, works in decoded.items()}
    started = time.monotonic()
    failures = list(self_test())
    state = counted(len(failures), "failure") if failures else "passed"
    facts["self-test"] = f"{state} in {time.monotonic() - started:.1f} s"
    return facts, problems + failures


def _additions() -> "list[Additions[Any]]":
    """Return the groups of entry points by which installed packages add things."""
    from savs.datasets.benchmarks.catalogue import ADDED_BENCHMARKS
    from savs.pipeline.cluster.engine import ADDED_ENGINES
    from savs.pipeline.evaluation.export import ADDED_EXPORTERS
    from savs.pipeline.extraction.model.model_options import ADDED_MODELS
    from savs.pipeline.heads.scoring import ADDED_SCORINGS
    from savs.pipeline.readouts import ADDED_READOUTS
    from savs.pipeline.targets import ADDED_TARGETS

    return [
        ADDED_READOUTS,
        ADDED_SCORINGS,
        ADDED_TARGETS,
        ADDED_BENCHMARKS,
        ADDED_MODELS,
        ADDED_ENGINES,
        ADDED_EXPORTERS,
    ]


def _devices() -> str:
    """Return what torch computes on."""
    from savs.pipeline.extraction.model.model_options import EXTRA_PACKAGES

    if not all(find_spec(name) for name in EXTRA_PACKAGES):
        return "torch is not installed"
    from savs.pipeline.extraction.model.devices import describe_devices

    devices = describe_devices()
    names = [f"{gpu['name']} ({format_bytes(gpu['bytes'])})" for gpu in devices["gpus"]]
    names += [f"CUDA {devices['cuda']}"] if "cuda" in devices else []
    names += ["MPS"] if devices["mps"] else []
    return ", ".join([*names, f"CPU with {devices['threads']} threads"])


def package_facts(text: str, installed: str | None) -> tuple[str, str | None, str | None]:
    """Return name and extra of a package, and what is wrong with it; an extra may be missing.

    `text` is what savs asks for, as in its metadata.
    """
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    extra = _EXTRA.search(str(requirement.marker or ""))
    versions, problem = str(requirement.specifier), None
    if installed is None and extra is None:
        problem = f"{requirement.name} is not installed, expected {versions or 'any version'}"
    elif installed is not None and not requirement.specifier.contains(installed, prereleases=True):
        problem = f"{requirement.name} is {installed}, expected {versions}"
    return requirement.name, extra and extra[1], problem


def _folders(environ: Mapping[str, str]) -> dict[str, Path]:
    """Return where files go: here, temporary ones, and the cache of models if it is there."""
    home = environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    cache = Path(environ.get("HF_HUB_CACHE") or Path(home, "hub"))  # as the hub's client has it
    folders = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    return folders | ({"hub cache": cache} if cache.is_dir() else {})


def is_writable(folder: Path) -> bool:
    """Return whether a file can be made in a folder; one on a full disk can."""
    from savs.foundation.files import FULL

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
    variables |= {name: "set" for name in environ if name.startswith("SAVS_")}
    variables |= {name: "set" for name in IS_SET if environ.get(name)}
    if endpoint := environ.get("HF_ENDPOINT"):
        variables["HF_ENDPOINT"] = urlsplit(endpoint).hostname or "set"  # may have a password in it
    return dict(sorted(variables.items()))


def without_home(path: Path) -> str:
    """Return a path with `~` for the user's folder, which may have their name."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def decodes(name: str, part: str | None) -> bool:
    """Return whether an image format is decoded: one of two colours is written and read."""
    from PIL import Image, features

    if part is not None and features.check(part) is not True:
        return False
    drawn, file = Image.new("RGB", (16, 16), "red"), io.BytesIO()
    drawn.paste("blue", (8, 0, 16, 16))
    try:
        drawn.save(file, name)
        with Image.open(file) as image:
            left, right = (image.convert("RGB").getpixel((x, 8)) for x in (3, 12))
    except (OSError, KeyError, ValueError):
        return False
    return left[0] > left[2] and right[2] > right[0]  # type: ignore[index]


def self_test() -> Iterator[str]:
    """Import features of classes that lie far apart, select heads and evaluate; yield what fails.

    Each built-in readout must be right of all.
    """
    import numpy as np

    import savs
    from savs.pipeline.readouts import READOUTS

    values = np.random.default_rng(0).normal(0, 0.1, (24, 4, 8)).astype(np.float32)
    values[0::2, :, 0] += 5
    values[1::2, :, 1] += 5
    rows = [f"{'ab'[n % 2]},{'train' if n < 12 else 'test'}" for n in range(24)]
    with tempfile.TemporaryDirectory(prefix="savs-") as folder:
        try:
            np.save(Path(folder, "features.npy"), values)
            Path(folder, "labels.csv").write_text("\n".join(["label,split", *rows]))
            files = [Path(folder, name) for name in ("features.npy", "labels.csv")]
            store = savs.import_features(*files, out=Path(folder, "store")).store
        except Exception as error:  # whatever is broken is to be told
            yield f"a small store cannot be written and read: {error!r}"
            return
        for readout in READOUTS:
            try:
                result = savs.evaluate(store, savs.select(store, heads=2, readout=readout))
                accuracy = result.metrics[0].value
            except Exception as error:
                yield f"readout {readout} fails: {error!r}"
                continue
            if accuracy != 1:
                yield f"readout {readout} is right in {accuracy:.0%} of a test of all right"
