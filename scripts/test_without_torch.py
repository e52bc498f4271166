"""Install savs without torch into build/without-torch, and run the tests of stage 2 there.

It is Python, and not a shell script, so that it runs on Windows as well.

    python scripts/test_without_torch.py
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOOLS = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
READERS = ("av", "huggingface_hub")  # of videos and hf:// data sets, without torch
STAGES = ("evaluation", "inputs/importing", "inputs/test_split.py", "reports/explain")
STAGES += ("heads", "readouts", "reports/report", "selection", "statistics", "targets")
STORES = ("format", "maintain", "read", "shard")
TESTS = ("datasets", "foundation", *(f"pipeline/{name}" for name in STAGES))
TESTS += tuple(f"stores/{name}" for name in STORES)


def main() -> int:
    """Return the exit code of the tests."""
    folder = ROOT / "build" / "without-torch"
    venv.create(folder, clear=True, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-e", f"{ROOT}[remote]", *READERS, *TOOLS], check=True)
    subprocess.run([python, "-m", "savs", "doctor"], check=True, cwd=folder)
    tests = [str(Path("tests") / name) for name in TESTS]
    words = ["-q", "-m", "not slow and not thorough", "-p", "no:cacheprovider", *tests]
    words.append("--ignore=tests/pipeline/reports/explain/test_maps.py")  # it runs models
    arguments = [*words, *sys.argv[1:]]
    environment = os.environ | {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [python, "-m", "pytest", *arguments], cwd=ROOT, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
