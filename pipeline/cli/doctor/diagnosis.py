"""All that `savs doctor` says, and what of it is wrong."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from savs.pipeline.cli.doctor.machine import (
    describe_disks,
    describe_system,
    describe_variables,
    memory_bytes,
)
from savs.pipeline.cli.doctor.packages import Package, list_packages
from savs.pipeline.cli.doctor.self_test import decoders, problems
from savs.pipeline.extraction.requirements import EXTRA_PACKAGES


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
    """What torch sees; None where it is not installed."""
    self_test_s: float
    """Seconds that the self-test took."""
    problems: tuple[str, ...] = field(default=())
    """What a user should mend; empty where all is well."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that `savs doctor --json` prints."""
        return asdict(self)


def diagnose(environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at the installation and its machine, and run a test of some seconds.

    Nothing is written but temporary files, and no connection is made.
    """
    packages = tuple(list_packages())
    found = [package.problem for package in packages]
    devices = None
    if all(find_spec(name) for name in EXTRA_PACKAGES):
        from savs.pipeline.extraction.model.devices import describe_devices

        devices = describe_devices()
    disks = describe_disks(environ)
    found += [
        f"no file can be written in {disk['path']}, the folder of {name} files"
        for name, disk in disks.items()
        if not disk["writable"] and name != "here"
    ]
    formats = decoders()
    found += [f"{name} images cannot be decoded" for name, works in formats.items() if not works]
    started = time.monotonic()
    found += problems()
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
        problems=tuple(text for text in found if text),
    )
