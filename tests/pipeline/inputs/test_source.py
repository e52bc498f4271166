"""The input files of a command, looked up once."""

from pathlib import Path
from typing import Any

import pytest
from official_files import write_blink

from savs.datasets import Shots, find_benchmark
from savs.foundation.errors import ParameterError
from savs.pipeline import split
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source

BLINK = find_benchmark("blink")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the data sets that a hub was asked for; it gives each the same files."""
    write_blink(tmp_path / "hub", rows_each=8)
    asked: list[str] = []

    def download(name: str, **_: Any) -> str:
        asked.append(name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def use(source: Source) -> None:
    examples = source.examples()
    assert all(source.media(split).has(e.media[0]) for split, own in examples.items() for e in own)
    source.survey(examples)
    source.leaks(examples)


def test_a_source_of_the_hub_is_looked_up_once(asked: list[str]) -> None:
    use(Source(BLINK, InputOptions(test="hf://o/pool", shots=Shots(1))))
    assert asked == ["o/pool"]
    use(Source(BLINK, InputOptions(train="hf://o/train", test="hf://o/test")))
    assert asked == ["o/pool", "o/train", "o/test"]


def test_a_split_looks_its_source_up_once(asked: list[str], tmp_path: Path) -> None:
    targets = {name: tmp_path / f"{name}.parquet" for name in ("train", "test")}
    split("blink", "hf://o/pool", **targets, shots=Shots(1))
    assert asked == ["o/pool"]


def test_a_folder_of_classes_is_its_own_media_root(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"image")
    source = Source(
        find_benchmark("image-folder"), InputOptions(train=tmp_path, test=str(tmp_path))
    )
    use(source)
    assert {source.media(split).root for split in ("train", "test")} == {tmp_path}


@pytest.mark.parametrize(
    "name", ["video_frames", "jpeg_draft", "max_image_pixels", "fetch_gb", "limit"]
)
@pytest.mark.parametrize("value", [0, -2])
def test_a_number_below_one_is_refused(name, value) -> None:
    with pytest.raises(ParameterError, match=f"{name} is {value}, expected at least 1"):
        InputOptions(test="test.jsonl", **{name: value})
