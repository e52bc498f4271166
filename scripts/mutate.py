"""Put known faults into a copy of the code, one at a time, and check that a test fails with each.

    python scripts/mutate.py            all faults of scripts/faults.toml
    python scripts/mutate.py folds cli  those whose name or file has one of these words

Prints each fault with the test that found it. The copy lies in build/mutate; the checkout stays as
it is. First the same tests run without a fault: what fails then says nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "mutate"
FAULTS = Path(__file__).with_name("faults.toml")
ROOMS = ("datasets", "foundation", "pipeline", "stores")
PYTEST = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow and not costly")
PASSED, FAILED = 0, 1
"""Exit codes of pytest; others say that it could not run the tests."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of the code at one place, which a test must notice."""

    name: str
    file: str
    before: str
    """Text that the file has once."""
    after: str
    tests: tuple[str, ...]
    """Files, folders or single tests; one of their tests must fail."""

    def text(self) -> str:
        """Return the file with the fault; ValueError if the text before is not there once."""
        text = (ROOT / self.file).read_text()
        if text.count(self.before) != 1:
            raise ValueError(
                f"{FAULTS}: {self.name}: `before` is {text.count(self.before)} times in"
                f" {self.file}, expected once; the code has changed, so change the fault"
            )
        return text.replace(self.before, self.after)


def read_faults(path: Path = FAULTS) -> list[Fault]:
    """Return the faults of a list."""
    tables = tomllib.loads(path.read_text())
    return [
        Fault(name, one["file"], one["before"], one["after"], tuple(one["tests"]))
        for name, one in tables.items()
    ]


def make_copy() -> None:
    """Copy what git knows and does not ignore, with a package `savs` of links to its rooms."""
    shutil.rmtree(COPY, ignore_errors=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, COPY / name)
    package = COPY / "build" / "package" / "savs"
    package.mkdir(parents=True)
    for source in [*(COPY / "public").iterdir(), *(COPY / room for room in ROOMS)]:
        (package / source.name).symlink_to(source)


def run_tests(tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in the copy until one fails; return the exit code and what was printed."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "PYTHONPATH": str(COPY / "build" / "package"),  # comes before the installed checkout
        "PYTHONSAFEPATH": "1",
    }
    run = [sys.executable, "-m", "pytest", *PYTEST, *tests]
    ran = subprocess.run(
        run, cwd=COPY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ran.returncode, ran.stdout


def try_fault(fault: Fault) -> str | None:
    """Return the test that fails with a fault, None if all pass; RuntimeError if none ran."""
    target = COPY / fault.file
    whole = target.read_text()
    target.write_text(fault.text())
    try:
        code, printed = run_tests(fault.tests)
    finally:
        target.write_text(whole)
    if code not in (PASSED, FAILED):
        raise RuntimeError(f"{fault.name}: pytest could not run the tests\n{printed}")
    failure = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    return failure[1] if failure else None


def main(words: Sequence[str]) -> int:
    """Return 1 if a fault was not found, or a test fails without one."""
    faults = [
        fault
        for fault in read_faults()
        if not words or any(word in f"{fault.name} {fault.file}" for word in words)
    ]
    for fault in faults:
        fault.text()
    make_copy()
    code, printed = run_tests(list(dict.fromkeys(test for one in faults for test in one.tests)))
    if code != PASSED:
        print(printed, "without a fault the tests must pass", sep="\n")
        return 1
    missed = 0
    for fault in faults:
        test = try_fault(fault)
        missed += test is None
        print(f"{fault.name}: {test or 'NOT FOUND'}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
