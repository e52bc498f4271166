"""`image-folder` and its like: one folder of media per class, and one question for all."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import FIELD_COLUMNS, marked_media, measure
from savs.datasets.errors import OptionError, SourceError
from savs.datasets.media_kinds.catalogue import COLUMNS, KIND_OF_COLUMN, kinds_in
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row
from savs.datasets.rows.files import files_below, list_folder
from savs.datasets.rows.media_names import is_named_for, kind_of_name
from savs.foundation.files import is_utf8

SPLITS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
"""Names of folders that hold a split each, not a class, if they hold folders alone."""
UNLABELLED = ("unlabelled", "unlabeled")
"""Names of the folder with images that have no class yet, next to the class folders."""
NAMED = 3
"""Number of names that a message lists."""


QUESTION = IMAGES.question


@dataclass
class _Contents:
    """What a folder holds."""

    media: list[str] = field(default_factory=list)
    """Paths below the folder."""
    others: list[str] = field(default_factory=list)
    """Files below the folder whose names are not those of media."""
    not_utf8: list[str] = field(default_factory=list)
    """Media whose names no table can hold, below the folder."""
    problems: list[str] = field(default_factory=list)
    """What is misplaced, and what to do about it."""


def read_folder(source: Path, kind: MediumKind = IMAGES) -> list[Row]:
    """Read the classes of a folder, one subfolder each, in the order of their names.

    Media in folders within a class folder are of that class, as in torchvision. Hidden files and
    folders (names that begin with a dot) are skipped, and so are files of another kind by name, or
    whose names are not UTF-8; `folder_notes` names these. Rows have the fields of the
    kind's column (its path below the folder) and `label`, and are sorted by class and path.

    Raises
    ------
    SourceError
        The folder does not exist, a class has no medium, or a medium or a folder is misplaced; all
        of these are named.
    """
    _require_folder(source, "a folder with one subfolder per class")
    contents = _look(source, kind)
    if contents.problems:
        raise SourceError(f"{source} " + "; ".join(contents.problems))
    return [
        Row(
            str(source / name),
            index,
            {kind.column: name, "label": name.partition("/")[0]},
            source.name,
        )
        for index, name in enumerate(contents.media)
    ]


def _require_folder(source: Path, expected: str) -> None:
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}; expected {expected}")


def class_folders(source: Path) -> list[str]:
    """Return the names of the class folders in a folder; SourceError if it cannot be read."""
    folders = list_folder(source)[0] if source.is_dir() else []
    return [folder.name for folder in folders if folder.name not in UNLABELLED]


def has_media(folder: Path, kind: MediumKind) -> bool:
    """Return whether a folder has a medium of a kind directly in it."""
    return any(is_named_for(kind.column, name) for name in list_folder(folder)[1])


def folder_kind(source: Path) -> MediumKind:
    """Return the kind of the media in a folder: images, unless only another kind has names there.

    A video is an image here; sounds next to it would be left out.
    """
    names = list(files_below(source))
    if any(is_named_for(IMAGES.column, name) for name in names):
        return IMAGES
    kinds = set(map(kind_of_name, names))
    return next((kind for kind in FOLDERS if kind in kinds), IMAGES)


def has_unlabelled(source: Path) -> bool:
    """Return whether a folder of class folders has one with images without a class.

    Examples
    --------
    >>> has_unlabelled(Path("no such folder"))
    False
    """
    folders = [source / name for name in UNLABELLED]
    return any(folder.is_dir() and not is_empty(folder) for folder in folders)


def is_empty(source: Path) -> bool:
    """Return whether a folder is there, and holds nothing: a disk is not mounted, for example."""
    return source.is_dir() and not any(list_folder(source))


def read_unlabelled(source: Path, kind: MediumKind = IMAGES) -> list[Row]:
    """Read the media of a folder that have no class: those in its folder `unlabelled`, or all.

    Subfolders mean nothing there. Rows have the field of the kind's column, its path below
    `source`.

    Raises
    ------
    SourceError
        The folder does not exist, or holds none.
    """
    _require_folder(source, f"a folder of {kind.noun}s")
    inner = [folder for folder in list_folder(source)[0] if folder.name in UNLABELLED]
    below = (files_below(folder, f"{folder.name}/") for folder in inner)
    names = chain.from_iterable(below) if inner else files_below(source)
    media = sorted(name for name in names if is_named_for(kind.column, name) and is_utf8(name))
    if not media:
        raise SourceError(f"{source} has no {kind.noun} without a class; add some, or leave it out")
    return [
        Row(str(source / name), index, {kind.column: name}, source.name)
        for index, name in enumerate(media)
    ]


def folder_notes(source: Path, kind: MediumKind = IMAGES) -> list[str]:
    """Return lines that name the files of a folder that have another kind, or no UTF-8 name."""
    contents = _look(source, kind)
    others = contents.others
    is_one = len(others) == 1
    nouns = [one.a_noun if is_one else f"{one.noun}s" for one in kinds_in(kind.column)]
    none = ("neither " if len(nouns) > 1 else "not ") + " nor ".join(nouns)
    what = f"file is {none} by name and was" if is_one else f"files are {none} by name and were"
    notes = [f"{source}: {len(others):,} {what} left out: {_first(others)}"] if others else []
    if odd := contents.not_utf8:
        what = "file has a name that is" if len(odd) == 1 else "files have names that are"
        notes.append(f"{source}: {len(odd):,} {what} not UTF-8 and left out: {_first(odd)}")
    return notes


def _look(source: Path, kind: MediumKind) -> _Contents:
    folders, files = list_folder(source)
    classes = [folder for folder in folders if folder.name not in UNLABELLED]
    contents = _Contents(others=[name for name in files if not is_named_for(kind.column, name)])
    if loose := [name for name in files if is_named_for(kind.column, name)]:
        contents.problems.append(
            f"holds {_first(loose)} next to the class folders (move them into one, or away)"
        )
    if not classes:
        contents.problems.append(
            f"has no subfolders (expected one folder of {kind.noun}s per class)"
        )
    empty, splits = [], []
    if odd := [ascii(folder.name) for folder in classes if not is_utf8(folder.name)]:
        contents.problems.append(
            f"has folders whose names are not UTF-8: {_first(odd)} (rename them: a name is a class)"
        )
    for folder in folders:
        if not is_utf8(folder.name):
            continue
        names = sorted(files_below(folder, f"{folder.name}/"))
        contents.others += [name for name in names if not is_named_for(kind.column, name)]
        of_kind = [name for name in names if is_named_for(kind.column, name)]
        contents.not_utf8 += [name for name in of_kind if not is_utf8(name)]
        if folder.name in UNLABELLED:
            continue
        media = [name for name in of_kind if is_utf8(name)]
        contents.media += media
        if not media:
            empty.append(folder.name)
        elif folder.name.lower() in SPLITS and all(name.count("/") > 1 for name in media):
            splits.append(folder.name)
    if splits:
        contents.problems.append(
            f"has folders within {_first(splits)} (if {' or '.join(splits)} is a split, pass"
            f" `train` or `test` {source / splits[0]})"
        )
    if empty:
        contents.problems.append(
            f"has no {kind.noun} in {_first(empty)} (add some, or remove the folder)"
        )
    return contents


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def parse_row(row: Row, question: str, kind: MediumKind = IMAGES) -> Iterator[Fields]:
    """Read one medium; its folder is the class, and its name below the source is the id."""
    prompt, media = marked_media(row, question, FIELD_COLUMNS)
    yield Fields(id=row.text(kind.column), label=row.optional("label"), prompt=prompt, media=media)


def ask(benchmark: Benchmark, question: str) -> Benchmark:
    """Return one of `FOLDERS` with the user's question, part of a store's identity.

    Raises
    ------
    OptionError
        The question is empty.

    Examples
    --------
    >>> ask(FOLDERS[IMAGES], "Which animal is this?").options
    {'question': 'Which animal is this?'}
    """
    kind = next(kind for kind, of_kind in FOLDERS.items() if of_kind is benchmark)
    if not question.strip():
        raise OptionError(f"`question` is empty; pass the prompt of all {kind.noun}s")
    return replace(
        benchmark,
        parse_row=partial(parse_row, question=question, kind=kind),
        options={"question": question},
    )


def _benchmark(kind: MediumKind) -> Benchmark:
    noun, suffix = kind.noun, kind.usual_suffix
    return Benchmark(
        name=f"{kind.column}-folder",
        summary=f"one folder of {noun}s per class; --question gives the prompt",
        columns={
            kind.column: f"DIR/CLASS/NAME{suffix}: --test (and --train, or --shots) is the folder"
            " DIR",
            "label": "CLASS, the name of the folder",
        },
        parse_row=partial(parse_row, question=kind.question, kind=kind),
        measure=measure,
        reads=SCORED,
        read_folder=partial(read_folder, kind=kind),
        read_unlabelled=partial(read_unlabelled, kind=kind),
        folder_notes=partial(folder_notes, kind=kind),
        options={"question": kind.question},
        about=About(
            task=f"classification of your own {noun}s, sorted into folders",
            metrics=(*CLASS_METRICS,),
            sizes="yours",
            source="yours",
            licence="yours",
            files=f"DIR/CLASS/*{suffix}; --train DIR/train --test DIR/test, or --test DIR"
            " --shots 20",
            sample={kind.column: f"cat/001{suffix}", "label": "cat"},
        ),
    )


FOLDERS = {KIND_OF_COLUMN[column]: _benchmark(KIND_OF_COLUMN[column]) for column in COLUMNS}
"""Kind of media with a column of its own -> the benchmark of folders of them."""
