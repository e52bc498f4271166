"""Measure `savs app` in a browser: its start, the first vote, a click to the next image, new heads.

    python scripts/bench_app.py --work build/bench-app

Needs the extras `extract` and `app`, and chromium. The images are drawn animals, the model is
`demo`.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import savs
from savs.datasets.benchmarks.shapes import write_shapes

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from browser import Tab, started_browser
from served_app import served_app

DROP = "#savs-drop input[type=file]"
LABEL = "iframe[title='the example to label']"
STATUS = "iframe[title='accuracy to expect']"
EXAMPLE = "document.querySelector('#example').innerText"
LABELS = 31
"""The last one is not in a classifier yet when heads are chosen by the button."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="Folder for images and store.")
    parser.add_argument("--unlabelled", type=int, default=400, help="Images without a label.")
    options = parser.parse_args()
    work = options.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    photos = draw_photos(work, options.unlabelled)
    store = work / "pets"
    savs.extract(
        "image-folder",
        test=photos,
        shots=5,
        question="Which animal is this?",
        model="demo",
        thumbnails=True,
        out=store,
    )
    selection = savs.calibrate(store, savs.select(store)).selection
    savs.save_selection(selection, store / "results" / "vote")
    started = time.monotonic()
    with (
        served_app(work, store) as app,
        tempfile.TemporaryDirectory() as profile,
    ):
        print(f"start of savs app, until it answers: {time.monotonic() - started:.1f} s")
        with started_browser(Path(profile)) as browser:
            measure(browser.tab(), app.address, next(iter((photos / "cat").iterdir())))


def measure(tab: Tab, address: str, image: Path) -> None:
    tab.open(address)
    tab.wait(f"document.querySelector('{DROP}') !== null")
    for name in ("first", "second"):
        started = time.monotonic()
        tab.choose_files(DROP, [image])
        tab.wait_in_frame("iframe[title=answers]", "document.body && document.body.innerText")
        print(f"{name} vote, from the drop: {time.monotonic() - started:.2f} s")
        tab.open(address)
        tab.wait(f"document.querySelector('{DROP}') !== null")
    button = "[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText == 'Label')"
    while not tab.run(f"{button}.ariaSelected == 'true'"):
        tab.click(button)
        time.sleep(0.2)
    seconds = []
    for _ in range(LABELS):
        name = tab.wait_in_frame(LABEL, EXAMPLE)
        label = json.dumps(Path(name).name.split("-")[0])
        keys = "[...document.querySelectorAll('[data-key]')]"
        key = tab.in_frame(LABEL, f"{keys}.find(e => e.innerText.includes({label})).dataset.key")
        started = time.monotonic()
        tab.press(key, key)
        tab.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(name)}")
        seconds.append(time.monotonic() - started)
    print(
        f"key to the next image: median {statistics.median(seconds):.2f} s,"
        f" slowest of {LABELS} {max(seconds):.2f} s"
    )
    time.sleep(5)  # the heads after the thirtieth label
    tab.wait_in_frame(STATUS, "!document.body.innerText.includes('Heads are being chosen')")
    points = tab.in_frame(STATUS, "document.querySelectorAll('svg circle').length") or 0
    started = time.monotonic()
    tab.click("[...document.querySelectorAll('button')].find(b => b.innerText == 'Retrain')")
    tab.wait_in_frame(STATUS, f"document.querySelectorAll('svg circle').length > {points}")
    print(f"button to the new classifier on the page: {time.monotonic() - started:.2f} s")


def draw_photos(work: Path, unlabelled: int) -> Path:
    """Return class folders of drawn animals, most of them in `unlabelled`; names tell the class."""
    drawn = write_shapes(
        work / "scenes", seed=7, tasks=("animal",), train_per_class=15, test_units=unlabelled
    )
    for file, where in ((drawn.train, ""), (drawn.test, "unlabelled")):
        for number, line in enumerate(file.read_text().splitlines()):
            row = json.loads(line)
            image = drawn.root / row["images"][0]
            place = work / "photos" / (where or row["label"])
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, place / f"{row['label']}-{number}{image.suffix}")
    return work / "photos"


if __name__ == "__main__":
    main()
