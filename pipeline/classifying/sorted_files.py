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

from savs.datasets import Example, MediaError
from savs.datasets.parts import is_window
from savs.datasets.rows.media_names import is_address, is_packed
from savs.foundation.errors import ParameterError
from savs.foundation.files import (
    file_sha256,
    make_folder,
    real_path,
    remove_left_overs,
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
NO_FILES = {
    "a URL": is_address,
    "stored in the row of a file": is_packed,
    "a window of a video": is_window,
}
"""What a medium is that is no file of its own -> whether a name says so."""
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
                " as new images; pass a folder outside"
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
        for name in (name for _, example in self._examples() for name in example.media):
            if what := next((what for what, is_so in NO_FILES.items() if is_so(name)), ""):
                raise ParameterError(
                    f"`sort_into` copies files, and {name} is {what}; omit `sort_into`, or save"
                    " these images as files first"
                )
        record = self.path / RECORD
        with disk_errors(self.path, ADVICE):
            make_folder(self.path)
            if not record.exists():
                others = (p.name for p in self.path.iterdir() if not p.name.startswith(RECORD))
                if (other := next(others, None)) is not None:
                    raise OutputError(
                        f"{self.path} has files that `sort_into` did not make, such as {other};"
                        " pass a new or empty folder"
                    )
                write_json(record, dict(self.facts))  # several processes write the same
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
        tasks = self.selection.tasks
        parts = folder_names([task.subtask or "" for task in tasks])
        folders: dict[tuple[str | None, str | None], Path] = {}
        renamed: dict[str, str] = {}
        for task in tasks:
            base = self.path / parts[task.subtask or ""] if len(tasks) > 1 else self.path
            classes = folder_names(task.classes, taken=(UNSURE,))
            folders[task.subtask, None] = base / UNSURE
            folders |= {(task.subtask, name): base / folder for name, folder in classes.items()}
            renamed |= {name: folder for name, folder in classes.items() if name != folder}
        for target in sorted(set(folders.values())):
            with disk_errors(target, ADVICE):
                remove_left_overs(target)
        examples = {example.id: (group, example) for group, example in self._examples()}
        known = predictions.filter(pl.col("prediction").is_not_null(), pl.col("id").is_in(examples))
        copied, copies, missing = 0, set[Path](), list[str]()
        for row in track(known.to_dicts(), "examples"):
            group, example = examples[row["id"]]
            target = folders[row.get("subtask"), None if row["unsure"] else row["prediction"]]
            for name in example.media:
                try:
                    source = group.media.path(name)
                except MediaError:  # it was skipped, and its reason is in the table
                    continue
                if not source.is_file():
                    missing.append(name)
                    continue
                with disk_errors(target, ADVICE):
                    path, is_new = _copy(source, target)
                copied += is_new
                copies.add(path)
        unsure = sum(path.parent.name == UNSURE for path in copies)
        return SortedFiles(self.path, len(copies), copied, unsure, renamed, tuple(missing))

    def _examples(self) -> Iterator[tuple[Group, Example]]:
        return ((group, example) for group in self.groups for example in group.examples)


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
    folders = dict(plain)
    for name, safe in plain.items():
        is_unlike = safe == name and keys[_key(safe)] == 1 and not _DIGESTED.fullmatch(safe)
        if not (safe and is_unlike):
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
            folders[name] = f"{safe or 'class'}-{digest}"
    return folders


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


def _copy(source: Path, folder: Path) -> tuple[Path, bool]:
    """Return the copy of a file in a folder, and whether it is new; a taken name is kept."""
    if folder.is_symlink():
        raise OutputError(f"{folder} is a link to {folder.readlink()}; pass {ADVICE}")
    make_folder(folder)
    for path in _names(source, folder):
        if not os.path.lexists(path):
            try:
                with whole_file(path, replace=False) as partial:
                    shutil.copyfile(source, partial)
                    status = source.stat()
                    os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
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
    suffix = suffix if len(os.fsencode(suffix)) < LONGEST_FILE // 4 else ""
    while len(os.fsencode(f"{stem}{suffix}")) + 1 + DIGITS > LONGEST_FILE:
        stem = stem[:-1]
    yield folder / f"{stem}-{file_sha256(source)[:DIGITS]}{suffix}"
