"""Which packages are installed, and which of those that savs asks for are not, or are too old."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

LEFT_OUT = ("all", "dev", "docs")
"""Extras that are not listed: one has the packages of others, two are for developers."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that savs, or one of its extras, asks for."""

    name: str
    extra: str | None
    """None where savs cannot do without it."""
    asked: str
    """Versions, such as `>=2.0`."""
    version: str | None
    """What is installed; None for nothing."""
    fits: bool
    """Whether that is what is asked for."""

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None where nothing is, and for an extra that is not installed."""
        if self.fits or (self.version is None and self.extra):
            return None
        found = "is not installed" if self.version is None else f"is {self.version}"
        return f"{self.name} {found}, expected {self.asked or 'any version'}"


def list_packages() -> list[Package]:
    """Return what savs asks for, in the order of its metadata."""
    return [
        Package(
            requirement.name,
            extra,
            str(requirement.specifier),
            found := _version(requirement.name),
            found is not None and requirement.specifier.contains(found, prereleases=True),
        )
        for requirement, extra in _requirements()
    ]


def _requirements() -> Iterator[tuple[Requirement, str | None]]:
    for text in requires("savs") or ():
        requirement = Requirement(text)
        extra = _EXTRA.search(str(requirement.marker or ""))
        if extra is None or extra[1] not in LEFT_OUT:
            yield requirement, extra and extra[1]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
