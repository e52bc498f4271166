"""`savs doctor`: what a report of a bug needs, without secrets and without the user's name."""

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
from typing import Any
from urllib.parse import urlsplit

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.output import print_json, print_pairs, say
from savs.pipeline.running.formatting import counted, format_bytes

EXAMPLES = ("savs doctor", "savs doctor --json")
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


def doctor_command(json: JsonOption = False) -> None:
    """Leaves out tokens, addresses and your name. Exits with code 1 if something is wrong."""
    facts = diagnose(os.environ)
    if json:
        print_json(facts)
    else:
        print_pairs(list(_rows(facts)))
    for problem in facts["problems"]:
        say(f"problem: {problem}")
    if facts["problems"]:
        raise typer.Exit(exits.FAILURE)


def diagnose(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return facts about the installation and its machine, and the problems among them.

    A test of some seconds is a part. Nothing is written but temporary files, and no connection is
    made.
    """
    from savs.pipeline.extraction.model.model_options import EXTRA_PACKAGES
    from savs.pipeline.running.cores import count_cores

    packages, devices = list(_packages()), None
    if all(find_spec(name) for name in EXTRA_PACKAGES):
        from savs.pipeline.extraction.model.devices import describe_devices

        devices = describe_devices()
    decoders = {name: decodes(name, part) for name, part in FORMATS.items()}
    disks = _disks(environ)
    started = time.monotonic()
    problems = [
        *(package["problem"] for package in packages if package["problem"]),
        *(f"no file can be written in {disk['path']}, the folder of {name} files"
          for name, disk in disks.items() if not disk["writable"] and name != "here"),
        *(f"{name} images cannot be decoded" for name, works in decoders.items() if not works),
        *self_test(),
    ]  # fmt: skip
    return {
        "savs": metadata.version("savs"),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": f"{count_cores()} of {os.cpu_count()}",
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else None,
        "disks": disks,
        "variables": describe_variables(environ),
        "packages": packages,
        "decoders": decoders | {"video": find_spec("av") is not None},
        "devices": devices,
        "self_test_s": round(time.monotonic() - started, 2),
        "problems": problems,
    }


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("savs", "system", "python", "cores"):
        yield name, facts[name]
    yield "memory", "unknown" if facts["memory"] is None else format_bytes(facts["memory"])
    for name, disk in facts["disks"].items():
        note = "" if disk["writable"] else ", cannot be written"
        yield f"disk {name}", f"{disk['path']}, {format_bytes(disk['free_bytes'])} free{note}"
    yield "variables", ", ".join(f"{k}={v}" for k, v in facts["variables"].items()) or "none set"
    extras: dict[str, list[str]] = {}
    for one in facts["packages"]:
        group = f"extra {one['extra']}" if one["extra"] else "packages"
        extras.setdefault(group, []).append(f"{one['name']} {one['version'] or 'not installed'}")
    yield from ((name, ", ".join(texts)) for name, texts in extras.items())
    devices = facts["devices"]
    if devices is None:
        yield "devices", "torch is not installed"
    else:
        names = [f"{gpu['name']} ({format_bytes(gpu['bytes'])})" for gpu in devices["gpus"]]
        names += [f"CUDA {devices['cuda']}"] if "cuda" in devices else []
        names += ["MPS"] if devices["mps"] else []
        yield "devices", ", ".join([*names, f"CPU with {devices['threads']} threads"])
    works = [f"{name}{'' if there else ' not'}" for name, there in facts["decoders"].items()]
    yield "decoders", ", ".join(works)
    state = counted(len(facts["problems"]), "problem") if facts["problems"] else "passed"
    yield "self-test", f"{state} in {facts['self_test_s']:.1f} s"


def _packages() -> Iterator[dict[str, Any]]:
    """Yield the packages that savs and its extras ask for, in the order of its metadata."""
    for text in metadata.requires("savs") or ():
        installed = None
        with suppress(metadata.PackageNotFoundError):
            installed = metadata.version(re.split(r"[^\w.-]", text, maxsplit=1)[0])
        facts = package_facts(text, installed)
        if facts["extra"] not in LEFT_OUT:
            yield facts


def package_facts(text: str, installed: str | None) -> dict[str, Any]:
    """Return facts about a package, and what is wrong with its version; an extra may be missing.

    `text` is what savs asks for, as in its metadata.
    """
    from packaging.requirements import Requirement

    asked = Requirement(text)
    extra, versions, problem = _EXTRA.search(str(asked.marker or "")), str(asked.specifier), None
    if installed is None and extra is None:
        problem = f"{asked.name} is not installed, expected {versions or 'any version'}"
    elif installed is not None and not asked.specifier.contains(installed, prereleases=True):
        problem = f"{asked.name} is {installed}, expected {versions}"
    return {
        "name": asked.name,
        "extra": extra and extra[1],
        "asked": versions,
        "version": installed,
        "problem": problem,
    }


def _disks(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return where files go: here, temporary ones, and the cache of models if it is there."""
    from savs.foundation.files import FULL

    folders = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    home = environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    cache = Path(environ.get("HF_HUB_CACHE") or Path(home, "hub"))  # as the hub's client has it
    disks = {}
    for name, folder in (folders | ({"hub cache": cache} if cache.is_dir() else {})).items():
        is_writable = True
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            is_writable = error.errno in FULL  # on a full disk a file can be made
        free = shutil.disk_usage(folder).free
        path = without_home(folder)
        disks[name] = {"path": path, "free_bytes": free, "writable": is_writable}
    return disks


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
