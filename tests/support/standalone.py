"""predict.py of bundles, in a process where savs and what only savs needs cannot be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BLOCKED = (
    *("savs", "accelerate", "faiss", "h5py", "ml_dtypes", "msgspec", "polars"),
    *("scipy", "sklearn", "threadpoolctl", "typer"),
)
DRIVER = """
import json, runpy, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
for program, *given in json.loads(sys.argv[2]):
    sys.argv = [program, *given]
    runpy.run_path(program, run_name="__main__")
    print("end")
"""
"""Runs several programs in one process: torch takes seconds to import."""


def run_standalone(
    bundles: Sequence[Path], images: Sequence[Path], model: Path
) -> list[list[dict[str, Any]]]:
    """Return what predict.py of each bundle prints."""
    given = [*map(str, images), "--model", str(model)]
    cases = [[str(bundle / "predict.py"), *given] for bundle in bundles]
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRIVER, json.dumps(BLOCKED), json.dumps(cases)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("end\n")[:-1]
    return [[json.loads(line) for line in part.splitlines()] for part in parts]
