"""What is to be classified: media by name, in folders, after patterns, or in rows of tables.

`NewImages` finds the media of the inputs, and `Questions` the prompts that they are run on: those
of the classifier, or those of the user.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import polars as pl

from savs.datasets import Benchmark, Example, MediaFolder, RowError, SourceError, find_files
from savs.datasets.benchmarks.general import FIELD_COLUMNS, general, named_media
from savs.datasets.example import first_few, of_subtask, with_media
from savs.datasets.media.download import Fetching
from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.catalogue import KIND_OF_COLUMN, kinds_in
from savs.datasets.media_kinds.decoding import MAX_IMAGE_PIXELS
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.parts import whole_name
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import JSON_LINES, PARQUET, read_rows
from savs.datasets.rows.files import files_below
from savs.datasets.rows.media_names import is_address, is_named_for
from savs.datasets.rows.plugin_guard import check_rows
from savs.datasets.splits.shared_media import media_names
from savs.datasets.windows import Windows, in_windows
from savs.foundation.files import is_utf8
from savs.foundation.network import HUB
from savs.pipeline.classifying.model_match import decoding_of, decoding_rules
from savs.pipeline.errors import SelectionError
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import make_fetching, temporary_fetching, video_ms
from savs.pipeline.running.formatting import counted
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.pipeline.targets.tasks import TaskConfig
from savs.stores.format.layout import Facts

STDIN = "-"
"""In place of a name: names are read from standard input, one a line."""
TABLES = (*JSON_LINES, ".json", ".csv", PARQUET)
"""Suffixes of files with a row an example."""
NAMED = 3
"""Number of files that a note names."""


@dataclass(frozen=True, slots=True)
class Group:
    """Examples whose media are in one folder."""

    examples: list[Example]
    media: MediaFolder


@dataclass(frozen=True, slots=True)
class Found:
    """The examples of all inputs."""

    groups: Sequence[Group]
    """In the order of the inputs, none of them empty."""
    notes: Sequence[str]
    decoding: Facts
    """How media are decoded: as in training, but for the windows of videos that were asked for."""


def find_new_images(
    config: SelectionConfig,
    inputs: Sequence[str],
    reading: InputOptions,
    fetching: Fetching | None,
    question: str | None = None,
    subtask: str | None = None,
) -> Found:
    """Return the examples of all inputs, see `NewImages.find`; media at addresses are fetched."""
    limit = reading.max_image_pixels
    decoding = decoding_of(config)
    if reading.windows is not None:
        decoding |= asdict(reading.windows)
    questions = Questions(config, question, subtask)
    images = NewImages(
        benchmark=general(reading.columns, question),
        reading=reading,
        questions=questions,
        names=MediaNames(questions.kind),
        rules=replace(
            decoding_rules(decoding),
            allow_outside=reading.allow_outside,
            fetching=fetching,
            max_pixels=MAX_IMAGE_PIXELS if limit is None else limit,
        ),
    )
    groups = images.find(inputs)
    notes = list(images.names.notes)
    for group in groups:
        names = media_names(group.examples)
        notes += group.media.rerooted(names)
        notes += fetching.fetch_all(names) if fetching is not None else []
    if "window_ms" in decoding:
        windows = Windows(decoding["window_ms"], decoding.get("stride_ms", decoding["window_ms"]))
        groups = [
            Group(in_windows(g.examples, windows, partial(video_ms, media=g.media)), g.media)
            for g in groups
        ]
    return Found(groups, notes, decoding)


def fetching_for(
    out: Path | None, reading: InputOptions
) -> AbstractContextManager[Fetching | None]:
    """Return how media at addresses are fetched: kept with the output, or until the run ends."""
    if out is None:
        return temporary_fetching(reading)
    return nullcontext(make_fetching(reading, Path(f"{out}.fetched")))


def prompt_table(groups: Sequence[Group]) -> pl.DataFrame:
    """Return what `require_same_prompt` compares."""
    rows = [
        (example.id, example.subtask, example.prompt, list(example.media))
        for group in groups
        for example in group.examples
    ]
    schema = {"id": pl.String, "subtask": pl.String, "prompt": pl.String}
    return pl.DataFrame(rows, schema=schema | {"media": pl.List(pl.String)}, orient="row")


@dataclass(slots=True)
class Questions:
    """Makes examples of rows, one for each subtask of the classifier."""

    config: SelectionConfig
    question: str | None
    """Given by the user for all rows."""
    subtask: str | None
    """Given by the user for rows without one."""
    _seen: dict[tuple[str, str | None], str] = field(default_factory=dict)
    """Id and subtask of each example -> its file and row."""

    @property
    def kind(self) -> MediumKind:
        """The kind of a medium given by its name alone: a sound if training had sounds."""
        facts = self.config.source.processor
        others = (kind for column, kind in KIND_OF_COLUMN.items() if column in facts)
        return next(others, IMAGES)

    def has(self, identifier: str) -> bool:
        """Return whether a row had this id."""
        return any((identifier, task.subtask) in self._seen for task in self.config.run_tasks)

    def examples(self, row: Row, columns: Mapping[str, str]) -> Iterator[Example]:
        """Yield the examples of a row, one for each subtask; `columns` maps fields to columns.

        Without a subtask, its own or the user's, an image is run on all of them. The prompt is that
        of the row, of the user, or of the classifier. RowError if the row names no medium or an
        unknown subtask, or has an id that is taken; SelectionError if it has no prompt.
        """
        named = named_media(row, columns)
        if not any(named.values()):
            raise row.error(
                f"field {columns[self.kind.column]!r} names no {self.kind.noun}",
                f"the row has the fields {row.fields}",
            )
        own_question = row.optional(columns["question"]) or self.question
        for task in self._tasks(row, columns):
            question = own_question or task.question
            if question is None:
                where = of_subtask(task.subtask)
                raise SelectionError(
                    f"{row.where} has no question, and the training examples{where} had several, so"
                    " that the classifier has none of its own; pass `question` TEXT, a table with a"
                    " column 'question', or another `subtask`"
                )
            identifier = row.optional(columns["id"]) or row.id
            key = (identifier, task.subtask)
            if key in self._seen:
                raise RowError(
                    f"{row.where}: id {identifier!r} is taken by {self._seen[key]}; ids must be"
                    " unique over all inputs: rename one, or classify the files one by one"
                )
            try:
                prompt, media = with_media(question, named)
            except ValueError as error:
                raise row.error(
                    str(error), "give one medium for each mark in the prompt"
                ) from error
            index = len(self._seen)
            self._seen[key] = row.where
            yield Example(
                id=identifier,
                split="test",
                index=index,
                label=None,
                prompt=prompt,
                media=media,
                subtask=task.subtask,
            )

    def _tasks(self, row: Row, columns: Mapping[str, str]) -> list[TaskConfig]:
        name = row.optional(columns["subtask"]) or self.subtask
        names = [task.subtask for task in self.config.run_tasks]
        if name is None:
            return list(self.config.run_tasks)
        tasks = [task for task in self.config.run_tasks if task.subtask == name]
        if not tasks:
            raise row.error(
                f"the classifier has no subtask {name!r}",
                f"its subtasks are {', '.join(filter(None, names)) or 'none'}",
            )
        return tasks


@dataclass(frozen=True, slots=True)
class MediaNames:
    """Finds the media that inputs name."""

    kind: MediumKind
    notes: list[str] = field(default_factory=list)
    """What was left out."""

    def of(self, name: str) -> Iterator[str]:
        """Yield the files and addresses that an input names."""
        if name == STDIN or is_address(name) or name.startswith(HUB):
            yield name
            return
        path = Path(name)
        if path.is_dir():
            yield from self._images_in(path)
        elif Path(whole_name(name)).exists():
            yield name
        elif "*" in name:
            paths = (path for path in find_files(name) if not path.name.startswith("."))
            yield from map(str, paths)
        else:
            raise SourceError(f"{name} does not exist; pass a file, a folder or a pattern")

    def _images_in(self, folder: Path) -> Iterator[str]:
        """Yield the media of the wanted kind below a folder by path; note other files."""
        kind = self.kind
        files = sorted(folder / name for name in files_below(folder))
        named = [str(path) for path in files if is_named_for(kind.column, path.name)]
        media = self._in_utf8(str(folder), named)
        if not media:
            nouns = " or ".join(one.noun for one in kinds_in(kind.column))
            raise SourceError(
                f"{folder} holds no {nouns}; for tables pass a pattern such as '{folder}/*.parquet'"
            )
        others = [path.name for path in files if not is_named_for(kind.column, path.name)]
        self._note_ignored(str(folder), others, f"no {kind.noun}s")
        yield from media

    def _in_utf8(self, where: str, names: Sequence[str]) -> list[str]:
        """Return names that a table can hold; note the others, and go on without them."""
        odd = [name for name in names if not is_utf8(name)]
        self._note_ignored(where, odd, "of names that are not UTF-8")
        return [name for name in names if is_utf8(name)]

    def _note_ignored(self, where: str, names: Sequence[str], what: str) -> None:
        if names:
            files, some = counted(len(names), "file"), first_few(names, NAMED)
            self.notes.append(f"Ignored {files} in {where}, {what}: {some}")

    def listed(self) -> list[str]:
        """Return the names on standard input, one a line."""
        lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
        return self._in_utf8("standard input", [line for line in lines if line.strip()])


@dataclass(frozen=True, slots=True)
class NewImages:
    """Looks for the examples of inputs."""

    benchmark: Benchmark
    """`general`, with the columns of the user."""
    reading: InputOptions
    questions: Questions
    rules: MediaRules
    names: MediaNames

    def find(self, inputs: Sequence[str]) -> list[Group]:
        """Return the examples of all inputs.

        Images are searched in folders and the folders below. An image that is named twice is
        classified once. DatasetError if an input does not exist, has no image or no row, or a row
        is malformed; SelectionError if an example has no prompt, and the classifier has none for
        it.
        """
        groups: list[Group] = []
        named = chain.from_iterable(map(self.names.of, inputs))
        for is_alone, names in groupby(named, is_table_or_stdin):
            if is_alone:
                groups += [
                    self._images(self.names.listed(), Path(self.reading.media_root or Path.cwd()))
                    if name == STDIN
                    else self._table_group(name)
                    for name in names
                ]
            else:
                groups.append(self._images(list(names), Path.cwd()))
        groups = [group for group in groups if group.examples]
        if not groups:
            raise SourceError(
                f"{' '.join(inputs) or 'nothing'} names no image; pass images, folders or tables"
            )
        return groups

    def _images(self, names: Sequence[str], root: Path) -> Group:
        """Return images that the user named: they may be anywhere."""
        column = self.questions.kind.column
        rows = (Row(name, 0, {column: name, "id": name}) for name in dict.fromkeys(names))
        examples = [
            example
            for row in rows
            if not self.questions.has(row.values["id"])
            for example in self.questions.examples(row, FIELD_COLUMNS)
        ]
        rules = replace(self.rules, allow_outside=True)
        return Group(examples, MediaFolder(root, rules=rules))

    def _table_group(self, name: str) -> Group:
        files = find_files(name)
        rows = read_rows(files)
        check_rows(self.benchmark, rows, "test")
        fields = {**FIELD_COLUMNS, **(self.reading.columns or {})}
        examples = [example for row in rows for example in self.questions.examples(row, fields)]
        root = Path(self.reading.media_root or files.root)
        return Group(examples, MediaFolder(root, files.root, self.rules))


def is_table_or_stdin(name: str) -> bool:
    """Return whether a name is a table, or standard input: its media lie in a folder of its own."""
    is_table = not is_address(name) and Path(name).suffix.lower() in TABLES
    return name == STDIN or name.startswith(HUB) or is_table
