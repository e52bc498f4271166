"""`image-folder`: one folder of images or videos per class, and one question for all."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.errors import OptionError, SourceError
from savs.datasets.metrics.metrics import SCORED
from savs.datasets.row import Row
from savs.datasets.rows.media_names import IMAGES, is_video_name
from savs.foundation.files import is_utf8

SPLITS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
"""Names of folders that hold a split each, not a class, if they hold folders alone."""
UNLABELLED = ("unlabelled", "unlabeled")
"""Names of the folder with images that have no class yet, next to the class folders."""
SKIPPED = frozenset(("desktop.ini", "thumbs.db"))
"""Files of operating systems, skipped like hidden ones; in lower case."""
QUESTION = "What is in the image?"
NAMED = 3
"""Number of names that a message lists."""


@dataclass
class _Contents:
    """What a folder holds."""

    images: list[str] = field(default_factory=list)
    """Paths below the folder."""
    others: list[str] = field(default_factory=list)
    """Files that are no media by name, below the folder."""
    not_utf8: list[str] = field(default_factory=list)
    """Media whose names no table can hold, below the folder."""
    problems: list[str] = field(default_factory=list)
    """What is misplaced, and what to do about it."""
    unlabelled: list[str] = field(default_factory=list)
    """Paths of images without a class."""


def read_folder(source: Path) -> list[Row]:
    """Read the classes of a folder, one subfolder each, in the order of their names.

    Images in folders within a class folder are of that class, as in torchvision. Hidden files and
    folders (names that begin with a dot) are skipped, and so are files that are neither images nor
    videos by name, or whose names are not UTF-8; `folder_notes` names these. Rows have the fields
    `image` (its path below the folder) and `label`, and are sorted by class and path.

    Raises
    ------
    SourceError
        The folder does not exist, a class has no image, or an image or a folder is misplaced; all
        of these are named.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}; expected a folder with one subfolder per class")
    contents = _look(source)
    if contents.problems:
        raise SourceError(f"{source} " + "; ".join(contents.problems))
    return [
        Row(
            str(source / name), index, {"image": name, "label": name.partition("/")[0]}, source.name
        )
        for index, name in enumerate(contents.images)
    ]


def class_folders(source: Path) -> list[str]:
    """Return the names of the class folders in a folder; SourceError where it cannot be read."""
    folders = _list_folder(source)[0] if source.is_dir() else []
    return [folder.name for folder in folders if folder.name not in UNLABELLED]


def has_images(folder: Path) -> bool:
    """Return whether a folder has an image or a video directly in it."""
    return any(_is_medium(path.name) for path in _list_folder(folder)[1])


def has_unlabelled(source: Path) -> bool:
    """Return whether a folder of class folders has one of images without a class.

    Examples
    --------
    >>> has_unlabelled(Path("no such folder"))
    False
    """
    return any((source / name).is_dir() for name in UNLABELLED)


def read_unlabelled(source: Path) -> list[Row]:
    """Read the images of a folder that have no class: those in its folder `unlabelled`, or all.

    Subfolders mean nothing there. Rows have the field `image`, its path below `source`.

    Raises
    ------
    SourceError
        The folder does not exist, or holds no image.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}; expected a folder of images")
    names = sorted(_unlabelled_names(source))
    images = [name for name in names if _is_medium(name) and is_utf8(name)]
    if not images:
        raise SourceError(f"{source} has no image without a class; add some, or leave it out")
    return [
        Row(str(source / name), index, {"image": name}, source.name)
        for index, name in enumerate(images)
    ]


def _unlabelled_names(source: Path) -> Iterator[str]:
    """Yield the files of a source without a class, by their paths below it."""
    folders, files = _list_folder(source)
    inner = [folder for folder in folders if folder.name in UNLABELLED]
    if not inner:
        yield from (path.name for path in files)
    for folder in inner or folders:
        yield from _files_below(folder, folder.name)


def folder_notes(source: Path) -> list[str]:
    """Return lines that name the files of a folder that are no media by name, or not UTF-8."""
    contents = _look(source)
    others = contents.others
    what = "file is neither an image nor a video by name and was" if len(others) == 1 else (
        "files are neither images nor videos by name and were"
    )  # fmt: skip
    notes = [f"{source}: {len(others):,} {what} left out: {_first(others)}"] if others else []
    if odd := contents.not_utf8:
        what = "file has a name that is" if len(odd) == 1 else "files have names that are"
        notes.append(f"{source}: {len(odd):,} {what} not UTF-8 and left out: {_first(odd)}")
    return notes


def _look(source: Path) -> _Contents:
    contents = _Contents()
    folders, files = _list_folder(source)
    classes = [folder for folder in folders if folder.name not in UNLABELLED]
    loose = [path.name for path in files if _is_medium(path.name)]
    contents.others += [path.name for path in files if not _is_medium(path.name)]
    if loose:
        contents.problems.append(
            f"holds {_first(loose)} next to the class folders (move them into one, or away)"
        )
    if not classes:
        contents.problems.append("has no subfolders (expected one folder of images per class)")
    empty, splits = [], []
    if odd := [ascii(folder.name) for folder in classes if not is_utf8(folder.name)]:
        contents.problems.append(
            f"has folders whose names are not UTF-8: {_first(odd)} (rename them: a name is a class)"
        )
    for folder in classes:
        if not is_utf8(folder.name):
            continue
        names = sorted(_files_below(folder, folder.name))
        media = [name for name in names if _is_medium(name)]
        images = [name for name in media if is_utf8(name)]
        contents.images += images
        contents.not_utf8 += [name for name in media if not is_utf8(name)]
        contents.others += [name for name in names if not _is_medium(name)]
        if not images:
            empty.append(folder.name)
        elif folder.name.lower() in SPLITS and all(name.count("/") > 1 for name in images):
            splits.append(folder.name)
    if splits:
        contents.problems.append(
            f"has folders within {_first(splits)} (if {' or '.join(splits)} is a split, pass"
            f" `train` or `test` {source / splits[0]})"
        )
    if empty:
        contents.problems.append(
            f"has no image in {_first(empty)} (add some, or remove the folder)"
        )
    return contents


def _files_below(folder: Path, name: str, above: tuple[Path, ...] = ()) -> Iterator[str]:
    """Yield the paths of all files below a folder, which `name` begins; a link back is left out."""
    place = folder.resolve()
    if place in above:
        return
    folders, files = _list_folder(folder)
    yield from (f"{name}/{path.name}" for path in files)
    for inner in folders:
        yield from _files_below(inner, f"{name}/{inner.name}", (*above, place))


def _list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder, sorted by name."""
    try:
        paths = sorted(
            (p for p in folder.iterdir() if not _is_hidden(p.name)), key=lambda path: path.name
        )
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be read: {error.strerror}; check its permissions"
        ) from error
    folders = {path: path.is_dir() for path in paths}
    return [path for path in paths if folders[path]], [path for path in paths if not folders[path]]


def _is_medium(name: str) -> bool:
    return PurePath(name).suffix.lower() in IMAGES or is_video_name(name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SKIPPED


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def parse_row(row: Row, question: str) -> Iterator[Fields]:
    """Read one image; its folder is the class, and its name below the source is the id."""
    name = row.text("image")
    yield Fields(id=name, label=row.optional("label"), prompt=question, media=(name,))


def image_folder(question: str) -> Benchmark:
    """Return the benchmark with the user's question, part of a store's identity.

    Raises
    ------
    OptionError
        The question is empty.

    Examples
    --------
    >>> image_folder("Which animal is this?").options
    {'question': 'Which animal is this?'}
    """
    if not question.strip():
        raise OptionError("`question` is empty; pass the prompt of all images")
    return replace(
        IMAGE_FOLDER,
        parse_row=partial(parse_row, question=question),
        options={"question": question},
    )


IMAGE_FOLDER = Benchmark(
    name="image-folder",
    summary="one folder of images per class; --question gives the prompt",
    columns={
        "image": "DIR/CLASS/NAME.jpg: --test (and --train, or --shots) is the folder DIR",
        "label": "CLASS, the name of the folder",
    },
    parse_row=partial(parse_row, question=QUESTION),
    measure=measure,
    reads=SCORED,
    read_folder=read_folder,
    read_unlabelled=read_unlabelled,
    folder_notes=folder_notes,
    options={"question": QUESTION},
    about=About(
        task="classification of your own images, sorted into folders",
        metrics=("accuracy", "balanced accuracy"),
        sizes="yours",
        source="yours",
        licence="yours",
        files="DIR/CLASS/*.jpg; --train DIR/train --test DIR/test, or --test DIR --shots 20",
        sample={"image": "cat/001.jpg", "label": "cat"},
    ),
)
