"""A training that follows its folder, killed at any moment, ends with the same when run again."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from victim import Order, Victims, warm_victims

from savs import label, open_store
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.costly

LONG = (pytest.mark.slow, pytest.mark.timeout(1800))


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with warm_victims() as started:
        yield started


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(colours).resize((64, 64), Image.Resampling.NEAREST).save(path)


def training(folder: Path) -> dict[str, object]:
    return {
        "source": str(folder / "photos"),
        "out": str(folder / "store"),
        "question": "Which?",
        "readout": "vote",
        "heads": 2,
        "shard_rows": 2,
        "batch_size": 2,
    }


@pytest.fixture(scope="module")
def changed(victims, tmp_path_factory) -> Path:
    """Return a store with corrections whose folder has changed in each way since."""
    folder = tmp_path_factory.mktemp("changed")
    photos = folder / "photos"
    for number in range(8):
        draw(photos / f"{'ab'[number % 2]}/{number}.png", number)
    (photos / "a/broken.png").write_bytes(b"")
    assert victims.run(Order(training(folder))).code == 0
    label(folder / "store", {"a/0.png": "b", "a/2.png": "b", "b/1.png": "a"})
    (photos / "a/0.png").rename(photos / "b/0.png")
    draw(photos / "a/4.png", 20)  # edited
    draw(photos / "a/broken.png", 21)
    (photos / "b/3.png").unlink()
    for number in range(30, 33):
        draw(photos / f"a/{number}.png", number)
    (photos / "b").rename(photos / "c")
    return folder


def truth(folder: Path) -> dict[str, str]:
    photos = folder / "photos"
    names = [path.relative_to(photos).as_posix() for path in photos.glob("*/*.png")]
    labels = {name: name.split("/")[0] for name in names}
    return labels | {"a/2.png": "c", "c/1.png": "a"}  # the corrections that stay


def outcome(folder: Path) -> tuple[dict[str, str], dict[str, bytes], list[str]]:
    store = open_store(folder / "store")
    assert store.manifest.sealed
    assert {p.kind for p in verify(folder / "store").problems} <= {"left-over"}
    rows, values = store.examples("train"), store.features("train", raw=True)
    of_id = {name: values[:, row].tobytes() for row, name in enumerate(rows["id"])}
    return dict(rows.select("id", "label").iter_rows()), of_id, sorted(store.manifest.labels)


@pytest.mark.parametrize("stride", [41, pytest.param(1, marks=LONG)])
def test_killed_before_any_change_of_its_folder_it_ends_with_the_same(
    victims, changed, tmp_path, stride
) -> None:
    shutil.copytree(changed, whole := tmp_path / "whole")
    assert victims.run(Order(training(whole))).code == 0
    expected = outcome(whole)
    assert expected[0] == truth(whole)
    step, struck = stride // 2, 0
    while True:
        shutil.copytree(changed, folder := tmp_path / f"step-{step}")
        end = victims.run(Order(training(folder), step=step))
        if end.code == 0:
            break
        assert end.code == -signal.SIGKILL
        struck += 1
        shutil.copytree(folder, other := tmp_path / f"other-{step}")
        assert victims.run(Order(training(folder))).code == 0
        assert outcome(folder) == expected

        # the folder changes once more before the training is run again
        (other / "photos/a/30.png").unlink()
        (other / "photos/a/31.png").rename(other / "photos/c/31.png")
        draw(other / "photos/a/40.png", 40)
        assert victims.run(Order(training(other))).code == 0
        assert outcome(other)[0] == truth(other)
        step += stride
    assert struck * stride >= 3 * 3  # at least create, link and remove for each shard
