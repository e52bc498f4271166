"""Small files of strangers that stand for very much are refused in a line, without the memory.

Images and videos are in `tests/datasets/media/test_limits.py`, rows in `test_row_sizes.py`.
"""

import hashlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from input_folder import Inputs, saved
from PIL import Image
from saved_selections import two_task_store
from small_results import save_result

from savs import load_selection, save_selection
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.running.result_files import METRICS, PREDICTIONS, UNITS

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory was used"),
]

ROWS = 2_000_000
MOST_MB = 400
"""Of memory; a process that has imported what a command needs has 100."""
MOST_MB_OF_TORCH = 1000
"""Of one that has loaded the demo model."""
MOST_MB_OF_ROWS = 2000
"""Of one that imports, or evaluates, two million rows."""
MEASURE = """
import atexit, re, runpy, sys
from pathlib import Path
def tell():
    most_kb = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
    print(int(most_kb) // 1000, file=sys.stderr)
atexit.register(tell)
program = sys.argv.pop(1)
if program == "savs":
    from savs.pipeline.cli.app import main
    main()
else:
    runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture
def run_measured(record_property) -> Callable[..., str]:
    """Return what runs `savs` in a process of its own, which must fail, and take little memory.

    It returns what the process says; `scripts/attack_table.py` prints the memory and seconds.
    """

    def run(
        *args: object, program: object = "savs", most_mb: int = MOST_MB, is_refused: bool = True
    ) -> str:
        command = [sys.executable, "-c", MEASURE, str(program), *map(str, args)]
        began_s = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        *said, memory = done.stderr.splitlines()
        who = args[0] if program == "savs" else Path(str(program)).name
        record_property("cost", f"{who} {memory} {time.monotonic() - began_s:.1f}")
        assert done.returncode == is_refused, said
        assert program != "savs" or len(said) == 1 or not is_refused
        assert int(memory) < most_mb, said
        return said[-1]

    return run


def repeat_first_row(file: Path) -> None:
    table = pl.read_parquet(file)
    many = pl.concat([table, table.head(1).select(pl.all().gather([0] * ROWS))])
    many.write_parquet(file, row_group_size=2 * ROWS)
    assert file.stat().st_size < 400_000


@pytest.fixture
def results(tmp_path) -> Path:
    """Return results of a few kB that have two million rows."""
    return with_repeated_rows(save_result(tmp_path / "results", [1, 0, 1, 1]))


def with_repeated_rows(folder: Path) -> Path:
    metrics = json.loads((folder / METRICS).read_text())
    for name in (PREDICTIONS, UNITS):
        repeat_first_row(folder / name)
        metrics["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / METRICS).write_text(json.dumps(metrics))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("report", "{results}", "--out", "page.html"),
        ("compare", "{results}", "{other}"),
    ],
    ids=lambda command: command[0],
)
def test_results_of_two_million_equal_rows_are_refused(
    results, tmp_path, command, run_measured
) -> None:
    other = save_result(tmp_path / "other", [1, 0, 1, 1])
    said = run_measured(*(part.format(results=results, other=other) for part in command))
    assert "it would take 1,024,00" in said
    assert "bytes of memory, 1,000 times its size" in said


def test_explain_refuses_them_too(savs, tmp_path, run_measured) -> None:
    store = two_task_store(tmp_path / "s").path
    assert savs("select", store, "--heads", 2).returncode == 0
    assert savs("evaluate", store).returncode == 0
    folder = with_repeated_rows(store / "results/vote")
    assert "it would take 1,024,00" in run_measured("explain", folder, "--out", tmp_path / "p.html")


def test_features_with_two_million_equal_ids_are_refused(
    tmp_path, inputs: Inputs, run_measured
) -> None:
    pl.DataFrame({"id": ["a"], "v": [[1.0]]}).write_parquet(tmp_path / "x.parquet")
    repeat_first_row(tmp_path / "x.parquet")
    labels = inputs.rows("labels.jsonl", [{"id": "a", "label": "a", "split": "train"}])
    said = run_measured(
        *("import", tmp_path / "x.parquet", "--labels", labels, "--out", tmp_path / "s")
    )
    assert "x.parquet has the id 'a' twice; ids must be unique" in said


def test_labels_of_twenty_million_equal_rows_are_refused(tmp_path, inputs, run_measured) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    table = pl.DataFrame({"label": ["a"], "split": ["train"]})
    many = pl.concat([table, table[[0] * ROWS]] * 10)
    many.write_parquet(tmp_path / "l.parquet", row_group_size=20 * ROWS)
    assert (tmp_path / "l.parquet").stat().st_size < 400_000
    given = ("--labels", tmp_path / "l.parquet", "--out", tmp_path / "s")
    said = run_measured("import", tmp_path / "x.npy", *given)
    assert "l.parquet is too large: it would take 640,000,320 bytes of memory" in said


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_million_honest_rows_are_imported_selected_and_evaluated(
    tmp_path, suffix, run_measured
) -> None:
    labels = np.array(["red", "green", "blue", "cyan", "purple"])
    numbers = np.random.default_rng(0).integers(0, 5, ROWS)
    values = np.zeros((ROWS, 8), np.float16)
    values[np.arange(ROWS), numbers] = 1
    np.save(tmp_path / "x.npy", values)
    is_train = np.arange(ROWS) < 1000
    table = pl.DataFrame({"label": labels[numbers], "split": np.where(is_train, "train", "test")})
    file, store = tmp_path / f"l.{suffix}", tmp_path / "s"
    table.write_csv(file) if suffix == "csv" else table.write_parquet(file)
    steps = (
        ("import", tmp_path / "x.npy", "--labels", file, "--out", store),
        ("select", store, "--no-estimate"),
        ("evaluate", store),
    )
    for step in steps:
        run_measured(*step, most_mb=MOST_MB_OF_ROWS, is_refused=False)


@pytest.fixture
def bundle(savs, inputs: Inputs, tmp_path) -> Path:
    for number in range(4):
        inputs.image(f"photos/{'ab'[number % 2]}/{number}.png", number)
    photos, run = inputs.root / "photos", ("--model", "demo", "--engine", "local,workers=0")
    assert savs("extract", "image-folder", "--train", photos, *run, "--out", "s").returncode == 0
    assert savs("select", "s", "--heads", 2, "--no-estimate").returncode == 0
    assert savs("export", "s", "--to", "classifier", "--out", "bundle").returncode == 0
    return tmp_path / "bundle"


def test_a_bundle_that_enlarges_each_image_is_refused(bundle, inputs, run_measured) -> None:
    photos, pixels = inputs.root / "photos", 2**22 + 1
    selection = load_selection(bundle)
    processor = {**selection.source.processor, "min_pixels": pixels}
    source = replace(selection.source, processor=processor)
    save_selection(replace(selection, source=source), bundle)
    said = run_measured("classify", bundle, photos, most_mb=MOST_MB_OF_TORCH)
    assert f"`min_pixels` is {pixels:,}, expected 4,194,304 at most: every" in said
    program, given = bundle / "predict.py", ("--model", DEMO_MODEL, photos / "a/0.png")
    said = run_measured(*given, program=program, most_mb=MOST_MB_OF_TORCH)
    assert f"min_pixels is {pixels:,}, expected 4,194,304 at most" in said


def test_a_bundle_reads_no_small_file_of_a_hundred_million_pixels(
    bundle, tmp_path, run_measured
) -> None:
    data = bytearray(saved(Image.new("L", (64, 64)), "JPEG2000"))
    side, size = struct.pack(">II", 11585, 11585), data.index(b"\xff\x51")
    for start in (size + 6, size + 22, data.index(b"ihdr") + 4):
        data[start : start + 8] = side
    (tmp_path / "x.jp2").write_bytes(data)
    assert len(data) < 1000
    given = ("--model", DEMO_MODEL, tmp_path / "x.jp2")
    said = run_measured(*given, program=bundle / "predict.py", most_mb=MOST_MB_OF_TORCH)
    assert "x.jp2 cannot be read: Image size (134212225 pixels) exceeds limit" in said
