"""`image-folder`: one folder of images or videos per class, and one question for all."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.errors import OptionError, SourceError
from savs.datasets.media.video_containers import is_video_name
from savs.datasets.row import Row

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""Suffixes of images, in lower case."""
SKIPPED = frozenset(("desktop.ini", "thumbs.db"))
"""Files of operating systems, skipped like hidden ones; in lower case."""
QUESTION = "What is in the image?"
NAMED = 3
"""Number of files that an error names."""


def read_folder(source: Path) -> list[Row]:
    """Read the classes of a folder, one subfolder each, in the order of their names.

    Hidden files and folders (names that begin with a dot) are skipped.

    Parameters
    ----------
    source
        The folder; images are directly in the subfolders, which are named after the classes.

    Returns
    -------
    list of Row
        Fields `image` (its name below the folder) and `label`, sorted by class and name.

    Raises
    ------
    SourceError
        The folder does not exist, a class has no image, or a file or folder is misplaced.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}; expected a folder with one subfolder per class")
    classes, loose = _list_folder(source)
    if loose:
        raise SourceError(
            f"{source} holds {_first_names(loose)} next to the class folders; move it into one of"
            " them, or out of the folder"
        )
    if not classes:
        raise SourceError(f"{source} has no subfolders; expected one folder of images per class")
    images = [image for folder in classes for image in _images(folder)]
    return [
        Row(str(image), index, {"image": f"{image.parent.name}/{image.name}",
                                "label": image.parent.name}, source.name)
        for index, image in enumerate(images)
    ]  # fmt: skip


def _images(folder: Path) -> list[Path]:
    folders, files = _list_folder(folder)
    if folders:
        raise SourceError(
            f"{folder} holds the folder {folders[0].name}; expected the images of one class;"
            f" if {folder.name} is a split, pass --train or --test {folder}"
        )
    if not files:
        raise SourceError(f"{folder} holds no image; add some, or remove the folder")
    others = [path for path in files if not _is_medium(path.name)]
    if others:
        raise SourceError(
            f"{folder} holds {_first_names(others)}, by name neither an image"
            f" ({' '.join(sorted(SUFFIXES))}) nor a video; move it away, or start its name with a"
            " dot"
        )
    return files


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
    return PurePath(name).suffix.lower() in SUFFIXES or is_video_name(name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SKIPPED


def _first_names(paths: list[Path]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path.name for path in paths[:NAMED]) + more


def parse_row(row: Row, question: str) -> Iterator[Fields]:
    """Read one image; its folder is the class, and its name below the source is the id."""
    name = row.text("image")
    yield Fields(id=name, label=row.text("label"), prompt=question, media=(name,))


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
        raise OptionError("--question is empty; pass the prompt of all images")
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
    read_folder=read_folder,
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
