"""predict.py and app.py of bundles, where savs and what only it needs cannot be imported."""

import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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
    bundles: Mapping[Path, Sequence[Path]], model: Path
) -> list[list[dict[str, Any]]]:
    """Return what predict.py of each bundle prints of its images."""
    cases = [
        [str(bundle / "predict.py"), *map(str, images), "--model", str(model)]
        for bundle, images in bundles.items()
    ]
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


def run_here(program: Path, images: Sequence[Path], model: Path) -> list[dict[str, Any]]:
    """Return what predict.py of a bundle prints of images; it runs in this process.

    Libraries that are loaded may use what it cannot import: `run_standalone` shows that they need
    not.
    """
    said = io.StringIO()
    loaded = [name for name in sys.modules if name.partition(".")[0] in BLOCKED]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        for name in (*BLOCKED, *loaded):
            patch.setitem(sys.modules, name, None)
        patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # which it lowers
        patch.setattr(sys, "argv", [str(program), *map(str, images), "--model", str(model)])
        runpy.run_path(str(program), run_name="__main__")
    return [json.loads(line) for line in said.getvalue().splitlines()]


APP_DRIVER = """
import json, runpy, sys
from pathlib import Path
sys.modules.update(dict.fromkeys(json.loads(sys.argv.pop(1))))
sys.argv.pop(0)
sys.path.insert(0, str(Path(sys.argv[0]).parent))  # as `python app.py` does
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def ask_space(address: str, image: Path | dict[str, str] | None) -> tuple[dict[str, Any], str]:
    """Return what the page of a Space answers: label, and words; a dictionary goes as it is."""
    from gradio_client import Client, handle_file  # half a second, in the tests that need it

    client = Client(address, verbose=False)
    value = handle_file(str(image)) if isinstance(image, Path) else image
    return client.predict(value, api_name="/classify")


OF_GRADIO = ("typer",)
"""What Gradio needs, too."""


@contextmanager
def running_space(folder: Path, *, python: str | None = None, **env: str) -> Iterator[str]:
    """Run app.py of a Space; yield its address. With another `python`, nothing is blocked."""
    blocked = [name for name in BLOCKED if name not in OF_GRADIO]
    command = [sys.executable, "-P", "-c", APP_DRIVER, json.dumps(blocked), str(folder / "app.py")]
    if python is not None:
        command = [python, str(folder / "app.py")]
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "GRADIO_SERVER_NAME": "127.0.0.1"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    with subprocess.Popen(
        command,
        env=kept | offline | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if "Running on local URL:" in line:
                    break
            else:
                raise AssertionError("".join(lines))
            yield line.split()[-1]
        finally:
            process.kill()


def odd_images(folder: Path, source: Path) -> list[Path]:
    """Return an image in forms that a viewer shows alike, and others do not."""
    image = Image.open(source).convert("RGB")
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = np.asarray(image.convert("L")).astype(np.uint16) << 8
    made = {
        "plain.png": lambda path: image.save(path),
        "clear.png": lambda path: clear.save(path),
        "turned.jpg": lambda path: image.resize((image.width, 90)).save(path, exif=turned),
        "palette.gif": lambda path: image.quantize(8).save(path, transparency=0),
        "print.jpg": lambda path: image.convert("CMYK").save(path),
        "deep.png": lambda path: Image.fromarray(grey).save(path),
    }
    for name, save in made.items():
        save(folder / name)
    return [folder / name for name in made]
