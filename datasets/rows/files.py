"""Input files that a source names: a file, a folder, a pattern, a data set of the hub."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from savs.datasets.errors import SourceError
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.rows.media_names import kind_of_name
from savs.datasets.rows.tar_shards import CLASS_NAMES, TAR, require_all
from savs.foundation.errors import reason_of
from savs.foundation.network import HUB, hub_problem

ALL_PARQUET = "**/*.parquet"
TABLES_OF_FOLDERS = (".parquet", TAR)
"""Suffixes of the files that a folder stands for: the first one's, or the second's without any."""
NAME_CHARACTERS = 200
"""Characters of an invalid name that an error shows."""
SKIPPED = frozenset(("desktop.ini", "thumbs.db"))
"""Files of operating systems, skipped like hidden ones; in lower case."""


@dataclass(frozen=True, slots=True)
class Files:
    """Input files below one folder, in the order of their names."""

    root: Path
    """Folder that names of media are relative to, unless a media root is given."""
    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def stem(self, path: Path) -> str:
        """Return the prefix of example ids: the file's name, or its path if there are several.

        Examples
        --------
        >>> files = Files(Path("b"), (Path("b/Jigsaw/val.parquet"), Path("b/IQ/val.parquet")))
        >>> files.stem(files.paths[0])
        'Jigsaw/val'
        """
        if len(self.paths) == 1:
            return path.stem
        return path.relative_to(self.root).with_suffix("").as_posix()


def find_files(source: str | Path) -> Files:
    """Return the files that a source names.

    Parameters
    ----------
    source
        A file; a folder, for all Parquet files below it, or all tar shards if there are none; a
        pattern with `*`; or `hf://owner/name`, a data set of the Hugging Face hub, optionally
        followed by a pattern.

    Raises
    ------
    SourceError
        No file matches, or the hub cannot be reached.
    """
    text = str(source)
    if text.startswith(HUB):
        return _from_hub(text)
    if text.startswith("hf:/"):
        raise SourceError(f"{text}: Path drops a slash; pass the text {HUB}{text[4:]} instead")
    if not text:
        raise SourceError("the name of the input file is empty; pass a file, a folder or a pattern")
    try:
        return _on_disk(Path(source), text)
    except (OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, SourceError):
            raise
        printable = text if text.isprintable() else ascii(text)
        raise SourceError(
            f"{printable[:NAME_CHARACTERS]} cannot be found: {reason_of(error)}; check the name"
        ) from error


def _on_disk(path: Path, text: str) -> Files:
    if "*" in text and not path.exists():
        steps = path.parts
        fixed = next(i for i, step in enumerate(steps) if "*" in step)
        root, pattern = Path(*steps[:fixed]), str(Path(*steps[fixed:]))
        return _sorted(root, root.glob(pattern), pattern, text)
    if not path.is_dir():
        return Files(path.parent, (path,))
    names = list(files_below(path))
    tables, shards = (
        [path / name for name in names if name.endswith(suffix)] for suffix in TABLES_OF_FOLDERS
    )
    if not tables:
        require_all(shards)
    if not tables and not shards and IMAGES in map(kind_of_name, names):
        raise SourceError(
            f"{text} holds images, but no rows ({ALL_PARQUET}); for a folder of images per class"
            " take the benchmark image-folder, else pass a table that names the images"
        )
    return _sorted(path, tables or shards, ALL_PARQUET, text)


def require_present(source: str | Path) -> None:
    """Raise SourceError if a source on disk does not exist."""
    text = str(source)
    if text.startswith("hf:/") or "*" in text:
        return
    try:
        is_there = Path(source).exists()
    except OSError:  # no name of a file: whoever reads it says why
        return
    if not is_there:
        raise SourceError(f"{text} does not exist; check the path")


def _sorted(root: Path, paths: Iterable[Path], pattern: str, text: str) -> Files:
    """Return the files among paths below a root; SourceError if there are none."""
    files = sorted(path for path in paths if path.is_file())
    if not files:
        raise SourceError(
            f"{text}: no file in {root.absolute()} matches {pattern}; pass a file, a folder of"
            " Parquet files or tar shards, or a pattern such as 'DIR/*/val-*.parquet'"
        )
    return Files(root, tuple(files))


def files_below(folder: Path, prefix: str = "", above: tuple[Path, ...] = ()) -> Iterator[str]:
    """Yield the paths of all files below a folder, each after a prefix.

    Hidden files and folders, and those of operating systems, are left out. Links are followed, but
    for those that lead back to a folder `above`.

    Raises
    ------
    SourceError
        A folder cannot be read.
    """
    place = folder.resolve()
    if place in above:
        return
    folders, files = list_folder(folder)
    yield from (f"{prefix}{name}" for name in files)
    for inner in folders:
        yield from files_below(inner, f"{prefix}{inner.name}/", (*above, place))


def list_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the folders in a folder and the names of its files, both sorted; hidden ones are out.

    SourceError if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            is_folder = {
                entry.name: Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in SKIPPED
            }
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be read: {reason_of(error)}; check its permissions"
        ) from error
    names = sorted(is_folder)
    return [folder / n for n in names if is_folder[n]], [n for n in names if not is_folder[n]]


def _from_hub(text: str) -> Files:
    owner, name, *rest = (*text.removeprefix(HUB).split("/", 2), "")
    if not owner or not name:
        raise SourceError(f"{text}: expected {HUB}owner/name, a data set on the Hugging Face hub")
    pattern = rest[0] or ALL_PARQUET
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise SourceError(
            f"{text} needs the package huggingface_hub; install with: pip install huggingface_hub,"
            " or download the files and pass their folder"
        ) from error
    problem = hub_problem()
    try:
        root = snapshot_download(
            f"{owner}/{name}",
            repo_type="dataset",
            allow_patterns=_allowed(pattern),
            local_files_only=problem is not None,
            tqdm_class=_progress_bar(),
        )
    except Exception as error:  # each failure of the hub has a class of its own
        reason = problem or _hub_reason(error)
        raise SourceError(
            f"{text} cannot be fetched ({reason}); check the name and the network (HF_TOKEN for a"
            " gated data set), or download the files and pass their folder"
        ) from error
    return _sorted(Path(root), Path(root).glob(pattern), pattern, text)


def _allowed(pattern: str) -> list[str]:
    """Return the patterns of the files to fetch; to the hub `*` is any path."""
    names = [f"*{CLASS_NAMES}"] if pattern.endswith(TAR) else []
    return [pattern, pattern.replace("**/", ""), *names]


def _hub_reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and "credentials" in str(error):
        return "the hub refuses the token in HF_TOKEN, or the login of `hf auth login`"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _progress_bar() -> Any:
    """Return a progress bar that only a terminal shows."""
    from huggingface_hub.utils.tqdm import tqdm

    return tqdm if sys.stderr.isatty() else partial(tqdm, disable=True)
