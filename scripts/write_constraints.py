"""Write constraints.txt: the versions that this environment has of what savs needs, but torch.

    rm -r .venv && CONSTRAINTS=/dev/null scripts/install extract,dev  # the newest
    .venv/bin/python scripts/write_constraints.py

Torch and what it brings are left out, so that a GPU box chooses the wheels of its CUDA. Tools of
the tests are held, too: a release of one of them on some day fails no test of another change.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).parent.parent / "constraints.txt"
EXTRAS = ("extract", "remote", "s3")  # of the Dockerfile
OF_TORCH = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
HEAD = """\
# Versions that the tests ran with, without torch and what it brings: choose those by your CUDA.
# Written by scripts/write_constraints.py.
"""


def main() -> None:
    """Write the file."""
    versions = dict(_needed("savs", (*EXTRAS, "dev")))
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items()) if name != "savs"]
    FILE.write_text(HEAD + "".join(lines), "utf-8")


def _needed(name: str, extras: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Return name and version of a package and of all that it needs here."""
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or OF_TORCH.fullmatch(name):
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # of another system
        yield name, package.version
        for text in package.requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(need.name), e) for e in ("", *need.extras)]


if __name__ == "__main__":
    main()
