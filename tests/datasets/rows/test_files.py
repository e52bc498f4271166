import re
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from huggingface_hub.utils import filter_repo_objects

from savs.datasets import SourceError, find_benchmark, find_files, read_examples
from savs.datasets.rows.files import Files

NAMES = (
    "Jigsaw/test-0.parquet",
    "Jigsaw/val-0.parquet",
    "IQ_Test/val-0.parquet",
    "IQ_Test/deep/val-1.parquet",
    "README.md",
    "notes/a.jsonl",
    "notes/b.jsonl",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder like a data set's on the hub; a Parquet file has one row, labelled by its path."""
    for name in NAMES:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pl.DataFrame({"question": ["?"], "label": [name]}).write_parquet(path)
        else:
            path.write_text('{"question": "?", "label": "a"}\n')
    return tmp_path / "set"


def names(files: Files) -> list[str]:
    return [path.relative_to(files.root).as_posix() for path in files]


@pytest.mark.parametrize(("name", "stem"), [("a.jsonl", "a"), ("my.set.json", "my.set")])
def test_a_file_stands_for_itself_even_before_it_is_there(
    tmp_path: Path, name: str, stem: str
) -> None:
    for source in (tmp_path / name, str(tmp_path / name)):
        files = find_files(source)
        assert files == Files(tmp_path, (tmp_path / name,))
        assert files.stem(files.paths[0]) == stem


def test_a_folder_stands_for_the_parquet_files_below_it(root: Path) -> None:
    files = find_files(root)
    assert files.root == root
    assert names(files) == [
        "IQ_Test/deep/val-1.parquet",
        "IQ_Test/val-0.parquet",
        "Jigsaw/test-0.parquet",
        "Jigsaw/val-0.parquet",
    ]


def test_a_folder_has_the_files_of_linked_folders_and_no_hidden_ones(tmp_path: Path) -> None:
    for name in ("far/b.parquet", "root/a.parquet", "root/.kept/c.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root/link").symlink_to(tmp_path / "far")
    assert names(find_files(tmp_path / "root")) == ["a.parquet", "link/b.parquet"]


@pytest.mark.parametrize(
    ("pattern", "below", "found"),
    [
        ("*/val-*.parquet", ".", ["IQ_Test/val-0.parquet", "Jigsaw/val-0.parquet"]),
        ("Jigsaw/*", "Jigsaw", ["test-0.parquet", "val-0.parquet"]),
        ("**/val-1.parquet", ".", ["IQ_Test/deep/val-1.parquet"]),
        ("notes/*.jsonl", "notes", ["a.jsonl", "b.jsonl"]),
        ("IQ_Test/*", "IQ_Test", ["val-0.parquet"]),  # not the folder `deep`
    ],
)
def test_a_pattern_names_files_below_its_fixed_part(
    root: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, below: str, found: list[str]
) -> None:
    files = find_files(root / pattern)
    assert (files.root, names(files)) == (root / below, found)
    monkeypatch.chdir(root)
    assert names(find_files(pattern)) == found
    (root / "notes" / "*.jsonl").write_text("")  # a name with a star, if a file has it
    assert names(find_files(root / "notes" / "*.jsonl")) == ["*.jsonl"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{root}/*/train.parquet", "{source}: no file in {root} matches */train.parquet; pass a"),
        ("{root}/notes", "{source}: no file in {root}/notes matches **/*.parquet; pass a file"),
        ("", "the name of the input file is empty"),
        ("a" * 300 + ".jsonl", "a" * 200 + " cannot be found: File name too long"),
        ("\x1b[2J" + "a" * 300, r"'\x1b[2J" + "a" * 192 + " cannot be found: File name too long"),
    ],
    ids=["pattern", "folder", "empty", "too long", "not printable"],
)
def test_what_names_no_file_is_told(root: Path, source: str, problem: str) -> None:
    source = source.format(root=root)
    with pytest.raises(
        SourceError, match=f"^{re.escape(problem.format(root=root, source=source))}"
    ):
        find_files(source)


def test_ids_of_several_files_begin_with_their_paths(root: Path) -> None:
    examples = read_examples(find_benchmark("general"), str(root / "*" / "val-0.parquet"), "test")
    assert [(e.id, e.index, e.label) for e in examples] == [
        ("IQ_Test/val-0:0", 0, "IQ_Test/val-0.parquet"),
        ("Jigsaw/val-0:0", 1, "Jigsaw/val-0.parquet"),
    ]
    alone = read_examples(find_benchmark("general"), str(root / "**" / "val-1.parquet"), "test")
    assert [e.id for e in alone] == ["val-1:0"]


class Hub:
    """What `snapshot_download` would do, if the hub had one data set; patterns as the hub's own."""

    def __init__(self, remote: Path, cache: Path) -> None:
        self.remote, self.cache = remote, cache
        self.asked: list[tuple[str, str]] = []

    def snapshot_download(
        self, repo_id: str, *, repo_type: str, allow_patterns: list[str], **_: Any
    ) -> str:
        self.asked.append((repo_id, repo_type))
        there = [p.relative_to(self.remote).as_posix() for p in self.remote.rglob("*.*")]
        for name in filter_repo_objects(there, allow_patterns=allow_patterns):
            (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.remote / name, self.cache / name)
        return str(self.cache)


@pytest.fixture
def hub(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(root, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub


@pytest.mark.parametrize("end", ["", "/"])
def test_a_data_set_of_the_hub_stands_for_its_parquet_files(hub: Hub, end: str) -> None:
    (hub.remote / "top.parquet").write_bytes(b"x")
    files = find_files(f"hf://BLINK-Benchmark/BLINK{end}")
    assert hub.asked == [("BLINK-Benchmark/BLINK", "dataset")]
    assert files.root == hub.cache
    assert names(files) == sorted(
        name for name in (*NAMES, "top.parquet") if name.endswith(".parquet")
    )
    assert not (hub.cache / "notes").exists()  # nothing else is fetched


def test_a_pattern_chooses_files_of_the_hub(hub: Hub) -> None:
    for number, place in enumerate(("IQ_Test", "IQ_Test/deep")):
        below = find_files(f"hf://o/n/IQ_Test/**/val-{number}.parquet")
        assert names(below) == [f"{place}/val-{number}.parquet"]
    files = find_files("hf://o/n/*/val-*.parquet")
    assert names(files) == ["IQ_Test/val-0.parquet", "Jigsaw/val-0.parquet"]
    assert not (hub.cache / "Jigsaw" / "test-0.parquet").exists()
    message = re.escape(f"hf://o/n/train/*: no file in {hub.cache} matches train/*;")
    with pytest.raises(SourceError, match=f"^{message}"):
        find_files("hf://o/n/train/*")


@pytest.mark.parametrize("text", ["hf://", "hf://owner", "hf://owner/", "hf:///name"])
def test_a_name_of_the_hub_has_two_parts(hub: Hub, text: str) -> None:
    with pytest.raises(SourceError, match=rf"^{text}: expected hf://owner/name"):
        find_files(text)
    with pytest.raises(SourceError, match=r"^hf:/o/n: .* pass the text hf://o/n instead$"):
        find_files(Path("hf://o/n"))
    assert hub.asked == []


def test_what_the_hub_refuses_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("403: the set is gated\nlong story")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    problem = r"^hf://o/n cannot be fetched \(PermissionError: 403: the set is gated\); check"
    with pytest.raises(SourceError, match=problem) as caught:
        find_files("hf://o/n")
    assert "\n" not in str(caught.value)


def test_without_the_hub_s_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SourceError, match="needs the package huggingface_hub; install with: pip"):
        find_files("hf://o/n")
