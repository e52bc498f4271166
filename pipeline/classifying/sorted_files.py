"""`sort_into`: copies of new images in a folder for each class, and for the unsure ones.

Files are copied, not linked: a link shares its content with the original, so an edit of one
changes both. A copy has the modification time of its original, by which a later run knows it
without reading it. A name that is taken by other content is never replaced: the copy's name then
ends in a digest of its content, so that every run finds the same name.
"""

import filecmp
import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from savs.datasets import MediaError, MediaFolder
from savs.datasets.rows.media_names import is_address, is_packed
from savs.foundation.errors import ParameterError
from savs.foundation.files import (
    make_folder,
    real_path,
    remove_left_overs_in,
    whole_file,
)
from savs.foundation.progress import track
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.errors import OutputError
from savs.pipeline.running.output_files import disk_errors
from savs.pipeline.running.result_files import write_json
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores.format.layout import Facts, decode_json

UNSURE = "unsure"
"""Folder for images whose prediction set has not exactly one class."""
RECORD = ".savs-sorted.json"
"""File of the folder that says which predictions it is sorted by."""
LONGEST_FOLDER = 80
"""Bytes of the name of a class's folder, without a digest."""
LONGEST_FILE = 140
"""Bytes of the name of a copy: an unfinished one has some hundred more."""
DIGITS = 8
"""Characters of a digest that tells names apart."""
ADVICE = "another `sort_into`"
_UNSAFE = re.compile(r'[<>:"/\\|?*]')
_DIGESTED = re.compile(rf".*-[0-9a-f]{{{DIGITS}}}", re.IGNORECASE)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SortedFiles:
    """The copies in a folder."""

    folder: Path
    files: int
    """Copies of the media of this run, those of earlier runs included."""
    copied: int
    """Copies that this run made."""
    equal: int
    """Media that have the copy of another one, with the same name and content."""
    unsure: int
    """Copies in the folder of unsure images."""
    renamed: Mapping[str, str]
    """Class -> its folder, if the class cannot be the name of a folder."""
    missing: tuple[str, ...]
    """Media that are gone since they were classified."""


def require_apart(folder: Path, inputs: Sequence[str]) -> None:
    """Raise ParameterError if copies would be new images of the same command."""
    for name in inputs:
        if Path(name).is_dir() and real_path(folder).is_relative_to(real_path(Path(name))):
            raise ParameterError(
                f"`sort_into` {folder} is inside {name}, so the same command would find the copies"
                " as new images; pass a folder outside of it"
            )


@dataclass(frozen=True, slots=True)
class SortedFolder:
    """A folder with one for each class; with several subtasks these are one level below."""

    path: Path
    selection: SelectionConfig
    groups: Sequence[Group]
    facts: Facts
    """Classifier, question and risk of the predictions."""

    def begin(self) -> None:
        """Make the folder, or check that the same predictions sorted it.

        ParameterError if a medium is no file of its own, so that there is nothing to copy;
        OutputError if the folder has other files, belongs to another classifier, or cannot be
        written.
        """
        for group in self.groups:
            for name in (name for example in group.examples for name in example.media):
                if is_address(name) or is_packed(name):
                    what = "a URL" if is_address(name) else "stored in the row of a file"
                    raise ParameterError(
                        f"`sort_into` copies files, and {name} is {what}; omit `sort_into`, or save"
                        " these images as files first"
                    )
        with disk_errors(self.path, ADVICE):
            make_folder(self.path)
            others = (p.name for p in self.path.iterdir() if not p.name.startswith(RECORD))
            record = self.path / RECORD
            if not record.exists():
                if (other := next(others, None)) is not None:
                    raise OutputError(
                        f"{self.path} has files that `sort_into` did not make, such as {other};"
                        " pass a new or empty folder"
                    )
                write_json(record, dict(self.facts))  # several processes write the same
            self._require_same(record)

    def _require_same(self, record: Path) -> None:
        try:
            before = msgspec.convert(decode_json(record.read_bytes()), dict)
        except ValueError as error:
            raise OutputError(f"{record} cannot be read ({error}); pass {ADVICE}") from error
        if keys := [key for key in self.facts if before.get(key) != self.facts[key]]:
            raise OutputError(
                f"{self.path} was sorted by other predictions ({', '.join(keys)} differ); pass"
                f" {ADVICE}"
            )

    def fill(self, predictions: pl.DataFrame) -> SortedFiles:
        """Copy the media of each example of this run into the folder of its prediction.

        Skipped examples have no copy. A copy that is there is not written again. OutputError if the
        disk is full or refuses; finished copies stay.
        """
        folders, renamed = self._folders()
        copied = unsure = equal = 0
        copies: set[Path] = set()
        missing: list[str] = []
        for target in sorted(set(folders.values())):
            with disk_errors(target, ADVICE):
                remove_left_overs_in(target)
        media = list(self._media(predictions, folders))
        for source, name, target in track(media, "files"):
            if not source.is_file():
                missing.append(name)
                continue
            with disk_errors(target, ADVICE):
                path, is_new = _copy(source, target)
            copied += is_new
            equal += path in copies
            unsure += target.name == UNSURE and path not in copies
            copies.add(path)
        return SortedFiles(
            folder=self.path,
            files=len(copies),
            copied=copied,
            equal=equal,
            unsure=unsure,
            renamed=renamed,
            missing=tuple(missing),
        )

    def _media(
        self, predictions: pl.DataFrame, folders: Mapping[tuple[str | None, str | None], Path]
    ) -> Iterator[tuple[Path, str, Path]]:
        """Yield file, name and target of each medium of this run that has a prediction."""
        media_of = {
            example.id: (example.media, group.media)
            for group in self.groups
            for example in group.examples
        }
        has_subtasks = "subtask" in predictions.columns
        known = predictions.filter(pl.col("prediction").is_not_null(), pl.col("id").is_in(media_of))
        for row in known.iter_rows(named=True):
            names, media = media_of[row["id"]]
            subtask = row["subtask"] if has_subtasks else None
            target = folders[subtask, None if row["unsure"] else row["prediction"]]
            for name in names:
                if (source := _file(media, name)) is not None:
                    yield source, name, target

    def _folders(self) -> tuple[dict[tuple[str | None, str | None], Path], dict[str, str]]:
        """Return subtask and class -> folder (class None: the unsure), and the changed names."""
        folders: dict[tuple[str | None, str | None], Path] = {}
        renamed: dict[str, str] = {}
        tasks = self.selection.tasks
        parts = folder_names([task.subtask or "" for task in tasks])
        for task in tasks:
            base = self.path / parts[task.subtask or ""] if len(tasks) > 1 else self.path
            classes = folder_names(task.classes, taken=(UNSURE,))
            folders[task.subtask, None] = base / UNSURE
            folders |= {(task.subtask, name): base / folder for name, folder in classes.items()}
            renamed |= {name: folder for name, folder in classes.items() if name != folder}
        return folders, renamed


def _file(media: MediaFolder, name: str) -> Path | None:
    try:
        return media.path(name)
    except MediaError:  # it was skipped, and its reason is in the table
        return None


def folder_names(names: Iterable[str], taken: Sequence[str] = ()) -> dict[str, str]:
    """Return name -> the name of its folder; no two are one folder on any file system.

    A name that may be a folder stays as it is. In others, characters that some system refuses
    become `_`, and a digest of the name follows: also where names differ by case or by the form of
    a letter alone, where one is in `taken`, and where one ends like such a digest.

    Examples
    --------
    >>> folder_names(["cat", "a/b", "a:b", ".."])
    {'cat': 'cat', 'a/b': 'a_b-c14cddc0', 'a:b': 'a_b-6783a31e', '..': 'class-5ec1f7e7'}
    """
    plain = {name: _safe(name) for name in dict.fromkeys(names)}
    unchanged = [safe for name, safe in plain.items() if safe == name]
    keys = Counter(map(_key, (*unchanged, *taken)))
    return {
        name: safe
        if safe and safe == name and keys[_key(safe)] == 1 and not _DIGESTED.fullmatch(safe)
        else f"{safe or 'class'}-{_digest(name)}"
        for name, safe in plain.items()
    }


def _safe(name: str) -> str:
    """Return the part of a name that may name a folder on any system; empty if none may."""
    safe = "".join(c if c.isprintable() else "_" for c in _UNSAFE.sub("_", name))
    safe = re.sub("^-", "_", safe.strip(" ."))
    while len(safe.encode()) > LONGEST_FOLDER:  # surrogates are not printable
        safe = safe[:-1]
    return f"_{safe}" if _RESERVED.fullmatch(safe) else safe.rstrip(" .")


def _key(name: str) -> str:
    """Return what two names share that are one folder on some file system."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _copy(source: Path, folder: Path) -> tuple[Path, bool]:
    """Return the copy of a file in a folder, and whether it is new; a taken name is kept."""
    if folder.is_symlink():
        raise OutputError(f"{folder} is a link to {folder.readlink()}; pass {ADVICE}")
    make_folder(folder)
    for path in _names(source, folder):
        if not os.path.lexists(path):
            try:
                _write(source, path)
            except FileExistsError:  # another process was faster
                pass
            else:
                return path, True
        # a copy has the time of its original, so most are compared without reading them
        if not path.is_symlink() and path.is_file() and filecmp.cmp(source, path):
            return path, False
    raise OutputError(f"{folder} has other files of the names of {source}; pass {ADVICE}")


def _names(source: Path, folder: Path) -> Iterator[Path]:
    """Yield the names that a copy may have: that of its original, then one with its digest."""
    stem, suffix = source.stem, source.suffix
    if len(os.fsencode(source.name)) <= LONGEST_FILE:
        yield folder / source.name
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    suffix = suffix if len(os.fsencode(suffix)) < LONGEST_FILE // 4 else ""
    while len(os.fsencode(f"{stem}-{digest}{suffix}")) > LONGEST_FILE:
        stem = stem[:-1]
    yield folder / f"{stem}-{digest}{suffix}"


def _write(source: Path, path: Path) -> None:
    with whole_file(path, replace=False) as partial:
        shutil.copyfile(source, partial)
        status = source.stat()
        os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
