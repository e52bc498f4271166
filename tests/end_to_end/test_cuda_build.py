"""Commands that load a model, with torch built for CUDA: `just cuda` makes the environment."""

import os
import subprocess

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

COMMANDS = (
    ("train", "photos", "--question", "Which colour?", "--model", "demo", "--out", "pets"),
    ("classify", "pets", "photos/red", "--out", "new.csv"),
    (
        "explain",
        "pets",
        "--n",
        "1",
        "--attention-maps",
        "--media-root",
        "photos",
        "--out",
        "why.html",
    ),
    ("extract", "image-folder", "--train", "photos", "--model", "demo", "--out", "features"),
    ("models", "demo"),
)


@pytest.mark.timeout(1800)
def test_nothing_is_said_to_leak(tmp_path):
    for name, colour in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            shade = tuple(value + 5 * number for value in colour)
            Image.new("RGB", (56, 56), shade).save(tmp_path / "photos" / name / f"{number}.png")
    python = os.environ["CUDA_PYTHON"]
    version = "import torch, triton; print(torch.version.cuda)"
    cuda = subprocess.run([python, "-c", version], check=True, capture_output=True, text=True)
    assert cuda.stdout.strip() != "None"
    for command in COMMANDS:
        done = subprocess.run(
            [python, "-m", "savs", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        assert "leaked" not in done.stderr, command
