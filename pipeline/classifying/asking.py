"""`ask`: the model's own answers to questions about images, without a label.

One pass stores the features of all heads and the log-likelihood of each answer. A classifier that
only reads these (`answers`) makes the predictions, so files, pages and folders are those of
`classify`; and the store is one whose examples wait for a label.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import msgspec
import numpy as np
import polars as pl

from savs.datasets import Example, MediaFolder, SourceError
from savs.datasets.asked import AskedQuestion, asked_questions
from savs.datasets.benchmarks.class_folders import (
    FOLDERS,
    folder_kind,
)
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.media_kinds.images import IMAGES
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.foundation.files import file_sha256
from savs.pipeline.classifying.classified import Classification
from savs.pipeline.classifying.new_images import STDIN, Group, MediaNames, is_table_or_stdin
from savs.pipeline.classifying.prediction_table import (
    SUFFIXES,
    Output,
    Predicted,
    outputs_of,
    predictions_of,
    write_predictions,
)
from savs.pipeline.classifying.sorted_files import SortedFiles, SortedFolder, require_apart
from savs.pipeline.classifying.training import is_media_folder
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.entry_points import extract, follow
from savs.pipeline.extraction.model.model_options import PlacingKeywords, require_extra
from savs.pipeline.extraction.rows.appending import as_examples, stored_rows
from savs.pipeline.extraction.run_options import BatchKeywords
from savs.pipeline.inputs.in_memory import Rows
from savs.pipeline.inputs.input_options import NewImageKeywords
from savs.pipeline.names import PAGE_SUFFIXES, shows_defaults
from savs.pipeline.readouts.answers import AnswersFit, among_classes
from savs.pipeline.running.option_texts import parse_asked, parse_model
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting, bars
from savs.pipeline.running.result_files import write_json
from savs.pipeline.selection.selection import Selection, asked_selection
from savs.pipeline.targets.one import VOTES_KEPT
from savs.pipeline.targets.stored_answers import ANSWERS, label_answers, normalised
from savs.stores import FeatureStore, StoreMismatchError, open_store
from savs.stores.format.layout import MANIFEST, RESULTS, decode_json, digest

if TYPE_CHECKING:
    from savs.pipeline.extraction.run_extraction import Extraction

YES_NO = ("Yes", "No")
"""The answers where none are given."""
LABELS, LETTERS, _ = WAYS = ("labels", "letters", "numbers")
"""What the model answers with: the answer itself, or what stands for it in a list."""
LISTED = "{question}\n{options}\nAnswer with the option's {noun} from the given choices directly."
"""A prompt with a list; LLaVA 1.5 was trained with the last line (arXiv 2310.03744)."""
TRIED = 10
"""Images by which a model is tried."""
MOST_ANSWERS = 10_000
"""Answers to one question: each is a short text after the prompt of each image."""
RECORD = f"{RESULTS}/ask.json"
"""File of the store that has the offset, and the outputs that were made of it."""
LEVEL = "level"
"""Column of predictions: the expected level, from 1."""
STEEPEST, HALVINGS = 100.0, 60
"""Of the search for a step of a scale, in nats a level."""


class AskKeywords(NewImageKeywords, PlacingKeywords, BatchKeywords, total=False):
    """Further keyword arguments of `ask`."""

    revision: str | None


def ask(
    images: Rows,
    question: str | Mapping[str, Sequence[str]],
    *,
    classes: Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
    answers: str = LABELS,
    model: str | Path,
    out: str | Path | None = None,
    offset: bool = False,
    **options: Any,
) -> pl.DataFrame:
    """Return the model's own answers to a question about images; nothing is learned.

    Parameters
    ----------
    images
        A folder, a table, names of files, or a frame; or a list of images: paths, bytes, PIL images
        or uint8 arrays.
    question
        The question; or several, each with its classes, which one pass answers.
    classes, levels
        The answers, by default Yes and No; or the levels of a scale, the lowest first.
    answers
        What the model answers with, see `answer`.
    model
        A Hugging Face id, a local folder, or `demo`.
    out
        Folder of the features, from which `train` goes on once images have labels.
    offset
        Take off the mean log-likelihood of each class over these images, see `answer`.
    **options
        As `classify`.

    Returns
    -------
    polars.DataFrame
        As predictions of `classify`: `prediction`, `probability`, `votes` with the probability of
        each class; with levels the column `level`, the expected level.

    Raises
    ------
    SavsError
        As `answer`.

    Examples
    --------
    >>> ask("photos", "Is it sharp?", model="demo")["prediction"]  # doctest: +SKIP
    """
    is_list = isinstance(images, Sequence)
    if is_list and not all(isinstance(one, str | Path | Mapping) for one in images):
        images = [{"image": one} for one in images]
    done = answer(
        images,
        question=question,
        classes=classes,
        levels=levels,
        answers=answers,
        model=model,
        out=None if out is None else [out],
        offset=offset,
        **options,
    )
    return done.predictions


@shows_defaults
def answer(
    inputs: Annotated[Rows, Option(metavar="INPUT...", is_repeated=True)],
    *,
    question: Annotated[
        "str | Sequence[str] | Mapping[str, Sequence[str]] | None",
        Option(metavar="TEXT|FILE.txt|FILE.json", is_repeated=True, parse=parse_asked),
    ] = None,
    classes: Annotated[
        Sequence[str] | None, Option(metavar="NAME", is_repeated=True, name="class")
    ] = None,
    levels: Annotated[
        Sequence[str] | None, Option(metavar="NAME", is_repeated=True, name="level")
    ] = None,
    answers: Annotated[str, Option(level="more", metavar="labels|letters|numbers")] = "labels",
    model: Annotated[
        str | Path | None,
        Option(metavar="ID[@REVISION]", parse=parse_model, fills={"revision": "ID@REVISION"}),
    ] = None,
    out: Annotated[
        Sequence[str | Path] | None, Option(metavar="FILE|STORE", is_repeated=True)
    ] = None,
    sort_into: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    n: Annotated[int | None, Option(level="python", min=1)] = None,
    offset: bool = False,
    retry_skipped: bool = False,
    force: bool = False,
    verbose: bool = False,
    reporting: Reporting = SILENT,
    **options: Unpack[AskKeywords],
) -> Classification:
    """Ask the model about images, and keep what it read.

    Parameters
    ----------
    inputs
        Images, folders, a table, patterns, URLs, or - for names on standard input.

        A table has a column `image` or `images`; labels are not read.
    question
        Question about each image, a file of one per line, or a JSON file; repeatable.

        The JSON file has an object, question -> its classes; in Python that is a dictionary.
    classes
        A possible answer; repeat it for each (default: Yes and No).
    levels
        A level of a scale, the lowest first; repeat it for each: gives the expected level, from 1.
    answers
        What the model answers with: labels, or the letters or numbers of a list of them.

        A list comes after the question. It is for answers that are long, or that have no words.
    model
        Model: a Hugging Face id, with @ also a branch, tag or commit; a local folder; or demo.
    out
        Output: .csv, .jsonl, .parquet, or .html for a page with pictures; or the folder of the
        features; repeatable.

        Without a folder the features are kept nowhere. An output is written anew by each run.
    sort_into
        Copy each file into a folder of its answer. Replaces no file.
    n
        Predictions on an HTML page: the least sure ones (default: `DEFAULT_PREDICTIONS`).
    offset
        Take off how often the model prefers each class over these images anyway.

        The mean log-likelihood of each class over the images is taken off (batch calibration, Zhou
        et al., arXiv 2309.17249), of levels the distance of the mean level to the middle of the
        scale. It assumes that classes are about equally frequent. With a folder of features it is
        computed once, and recorded with the images that it came from.
    retry_skipped
        Try skipped examples again.
    force
        Replace outputs that another command wrote.
    verbose
        Print messages and a progress bar.
    reporting
        Receives them instead.
    **options
        Fields of `InputOptions` (`columns`, `media_root` ...), `ModelOptions` (`device`,
        `adapter` ...) and `RunOptions` (`batch_size`, `workers` ...).

    Raises
    ------
    ParameterError
        A question is missing, empty, or asked twice; two answers are equal but for white space and
        case; there is one answer, two levels, or both classes and levels; two folders in `out`.
    DatasetError, ModelError, StoreError
        An input has a fault, the model cannot run, or the folder has features of other questions.
    OutputError
        An output was not written from these features, or cannot be written.
    """
    questions = questions_of(question, classes, levels, answers)
    files, folder = outputs_and_folder([] if out is None else out)
    outputs = outputs_of(files, n)
    for output in outputs:  # all are checked before the model runs
        require_ours(output.path, folder, force=force)
    if model is None:
        raise ParameterError("`model` is missing: pass a Hugging Face id, a folder, or demo")
    if sort_into is not None:
        require_apart(Path(sort_into), [str(one) for one in named_inputs(inputs)])
    require_extra()
    from savs.pipeline.extraction.run_extraction import earlier_skips

    reporting = bars() if verbose else reporting
    if classes is None and levels is None and not isinstance(question, Mapping):
        reporting.say("note: the answers are Yes and No; pass `classes` for others")
    kept = folder
    with ExitStack() as stack:
        if folder is None:
            place = stack.enter_context(TemporaryDirectory(prefix="savs-ask-"))
            folder = Path(place, "features")
        known = frozenset(name for _, name in earlier_skips(folder))
        keywords = {**options, "retry_skipped": retry_skipped}
        done = _read(inputs, questions, folder, model, reporting, keywords)
        asked = Asked.of(done.store, has_offset=offset)
        predicted = asked.predicted(media_root(inputs, options))
        frame = predicted.table.collect()
        for output in outputs:
            asked.write(output, predicted, force=force)
        sorted_files = None
        if sort_into is not None:
            sorted_files = asked.sort(Path(sort_into), predicted, frame)
    return Classification(
        predictions=frame,
        outs={output.path: frame.height for output in outputs},
        rows=done.rows,
        seconds=done.seconds,
        notes=done.warnings,
        target=asked.selection.target,
        sorted_files=sorted_files,
        store=kept,
        known_skips=frozenset() if retry_skipped else known,
    )


def answers_each_way(
    inputs: Rows,
    question: str,
    classes: Sequence[str],
    *,
    model: str | Path,
    n: int = TRIED,
    reporting: Reporting = SILENT,
    **options: Any,
) -> pl.DataFrame:
    """Return what the model answers to a question about some images, by each of `WAYS`.

    Up to `n` images, spread over the inputs, are read once. The frame has a row for each image that
    can be read: its `id`, and the answer of each way with its probability, such as `letters` and
    `letters_probability`. Raises as `answer`.
    """
    require_extra()
    ways = [way for way in WAYS if way != LETTERS or len(classes) <= len(ascii_uppercase)]
    asked: dict[str, AskedQuestion] = {}
    for way in ways:
        of_way = questions_of(question, classes, None, way)
        asked |= {prompt: replace(one, subtask=prompt) for prompt, one in of_way.items()}
    rows = _rows_of(named_inputs(inputs), reporting)
    spread = [rows[place * len(rows) // min(n, len(rows))] for place in range(min(n, len(rows)))]
    with TemporaryDirectory(prefix="savs-ask-") as place:
        done = _read(spread, asked, Path(place, "features"), model, reporting, options)
        table = Asked.of(done.store, has_offset=False).predicted(Path()).table.collect()
    skipped = table.filter(pl.col("reason").is_not_null()).unique("id", maintain_order=True)
    for name, reason in skipped.select("id", "reason").iter_rows():
        reporting.say(f"skipped {name}: {reason}")
    table = table.filter(pl.col("reason").is_null())
    images = table.select(pl.col("id").unique(maintain_order=True))
    for way, prompt in zip(ways, asked, strict=True):
        of_way = table.filter(subtask=prompt).select(
            "id",
            pl.col("prediction").alias(way),
            pl.col("probability").alias(f"{way}_probability"),
        )
        images = images.join(of_way, on="id", how="left", maintain_order="left")
    return images


def questions_of(
    question: str | Sequence[str] | Mapping[str, Sequence[str]] | None,
    classes: Sequence[str] | None,
    levels: Sequence[str] | None,
    way: str = LABELS,
) -> dict[str, AskedQuestion]:
    """Return each prompt with its answers; ParameterError if something cannot be asked."""
    if way not in WAYS:
        raise ParameterError(f"`answers` is {way!r}, expected one of {', '.join(WAYS)}")
    if classes is not None and levels is not None:
        raise ParameterError("`classes` and `levels` are two kinds of answers; pass one")
    answers = tuple(classes or levels or YES_NO)
    if isinstance(question, Mapping):
        if classes is not None or levels is not None:
            raise ParameterError("each `question` has its own answers; omit `classes`, `levels`")
        pairs = [(text, tuple(own)) for text, own in question.items()]
    else:
        texts = [question] if isinstance(question, str) else [*(question or [])]
        pairs = [(text, answers) for text in texts]
    if not pairs or not all(text.strip() for text, _ in pairs):
        raise ParameterError("`question` has no text; pass one, such as 'Is it sharp?'")
    texts = [text for text, _ in pairs]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise ParameterError(f"`question` {twice[0]!r} is given twice; pass each once")
    for text, own in pairs:
        _require_answers(text, own, "levels" if levels is not None else "classes")
    are_levels, found = levels is not None, {}
    for text, own in pairs:
        prompt, texts = worded(text, own, way)
        found[prompt] = AskedQuestion(prompt if len(pairs) > 1 else None, own, are_levels, texts)
    return found


def worded(question: str, answers: Sequence[str], way: str) -> tuple[str, tuple[str, ...]]:
    """Return the prompt of a question, and what stands for each answer; nothing for itself.

    ParameterError for more answers than letters.

    >>> worded("Which?", ["a cat", "a dog"], "letters")[0].splitlines()[:3]
    ['Which?', 'A. a cat', 'B. a dog']
    """
    if way == LABELS:
        return question, ()
    if way == LETTERS and len(answers) > len(ascii_uppercase):
        raise ParameterError(
            f"`answers` letters stand for at most {len(ascii_uppercase)}, and {question!r} has"
            f" {len(answers)} answers; use numbers"
        )
    numbers = [str(number) for number in range(1, len(answers) + 1)]
    texts = tuple(ascii_uppercase[: len(answers)] if way == LETTERS else numbers)
    options = "\n".join(f"{text}. {name}" for text, name in zip(texts, answers, strict=True))
    noun = way.removesuffix("s")
    return LISTED.format(question=question, options=options, noun=noun), texts


def _require_answers(question: str, answers: Sequence[str], name: str) -> None:
    """Raise ParameterError unless there are answers to choose among."""
    least = 3 if name == "levels" else 2
    most = VOTES_KEPT if name == "levels" else MOST_ANSWERS
    if len(answers) > most:
        raise ParameterError(
            f"`{name}` of {question!r} has {len(answers):,}, and at most {most:,} can be asked; ask"
            " with fewer"
        )
    seen: dict[str, str] = {}
    for answer_text in answers:
        if not answer_text.strip():
            raise ParameterError(f"`{name}` of {question!r} has an empty name; leave it out")
        if (other := seen.get(form := normalised(answer_text))) is not None:
            raise ParameterError(
                f"`{name}` {other!r} and {answer_text!r} of {question!r} are equal but for white"
                " space and case; leave one out"
            )
        seen[form] = answer_text
    if len(answers) < least:
        remedy = "; two levels are classes" if name == "levels" and len(answers) == 2 else ""
        raise ParameterError(
            f"`{name}` of {question!r} has {len(answers)}, expected at least {least}{remedy}"
        )


def outputs_and_folder(out: Sequence[str | Path]) -> tuple[list[Path], Path | None]:
    """Return the files of `out`, and its folder of features.

    ParameterError for two folders, or for a file of another kind.
    """
    paths = [Path(one) for one in out]
    files = [path for path in paths if path.suffix.lower() in (*SUFFIXES, *PAGE_SUFFIXES)]
    folders = [path for path in paths if path not in files]
    if odd := next((path for path in folders if path.suffix and not path.is_dir()), None):
        raise ParameterError(
            f"`out` is {odd}, expected a folder's name without a suffix, or a file's that ends in"
            f" {', '.join((*SUFFIXES, *PAGE_SUFFIXES))}"
        )
    if len(folders) > 1:
        raise ParameterError(f"`out` names two folders, {folders[0]} and {folders[1]}; pass one")
    return files, (folders[0] if folders else None)


def has_a_name(inputs: Sequence[str]) -> bool:
    """Return whether inputs are one folder, or one table, next to which features can lie."""
    only = inputs[0] if len(inputs) == 1 else STDIN
    return only != STDIN and (Path(only).is_dir() or is_table_or_stdin(only))


def named_inputs(inputs: Rows) -> list[str | Path]:
    """Return the names of inputs; none of rows and of images in memory."""
    if isinstance(inputs, str | Path):
        return [inputs]
    is_list = isinstance(inputs, Sequence) and all(isinstance(one, str | Path) for one in inputs)
    return list(inputs) if is_list else []


def media_root(inputs: Rows, options: Mapping[str, Any]) -> Path:
    """Return the folder that names of media are relative to."""
    if options.get("media_root") is not None:
        return Path(options["media_root"])
    names = named_inputs(inputs)
    if len(names) != 1 or not Path(names[0]).exists():
        return Path()
    only = Path(names[0])
    return only if only.is_dir() else only.parent if is_table_or_stdin(str(only)) else Path()


def _read(
    inputs: Rows,
    questions: Mapping[str, AskedQuestion],
    folder: Path,
    model: str | Path,
    reporting: Reporting,
    options: Mapping[str, Any],
) -> "Extraction":
    """Put images that the folder lacks through the model."""
    asked, texts = [*questions.values()], [*questions]
    is_begun = (folder / MANIFEST).is_file()
    if is_begun and (known := asked_questions(open_store(folder, partial=True).benchmark)) != asked:
        before = "; ".join(", ".join(one.written) for one in known) or "nothing"
        raise StoreMismatchError(
            f"{folder} was asked for {before}; ask for the same, or pass another folder as `out`"
        )
    benchmark, source, is_followed = GENERAL.name, inputs, True
    if names := named_inputs(inputs):
        only = names[0] if len(names) == 1 else None
        if only is not None and is_media_folder(only):
            benchmark = FOLDERS[folder_kind(Path(only))].name
            source = only
        elif only is not None and str(only) != STDIN and is_table_or_stdin(str(only)):
            source = only
        else:
            source, is_followed = _rows_of(names, reporting), not is_begun
    keywords: dict[str, Any] = {
        **options,
        "question": texts if len(texts) > 1 else texts[0],
        "unlabelled": source,
        "thumbnails": True,
    }
    if is_followed:  # what is gone from a folder or a table is asked no more
        return follow(
            benchmark,
            model=model,
            out=folder,
            allow_removed=True,
            reporting=reporting,
            asked=asked,
            **keywords,
        )
    return extract(benchmark, model=model, out=folder, append=True, reporting=reporting, **keywords)


def _rows_of(names: Sequence[str | Path], reporting: Reporting) -> list[dict[str, str]]:
    """Return a row for each medium that names of images, folders and patterns stand for."""
    if table := next((n for n in names if str(n) != STDIN and is_table_or_stdin(str(n))), None):
        raise ParameterError(f"{table} is a table, and others are named with it; ask it alone")
    finder = MediaNames(IMAGES)
    found = chain.from_iterable(finder.of(str(name)) for name in names)
    media = chain.from_iterable(finder.listed() if name == STDIN else [name] for name in found)
    rows = [{"id": name, IMAGES.column: name} for name in dict.fromkeys(media)]
    for note in finder.notes:
        reporting.say(note)
    if not rows:
        raise SourceError(f"{' '.join(map(str, names))} names no image; pass images or folders")
    return rows


@dataclass(frozen=True, slots=True)
class AskRecord:
    """What a folder of features has of earlier answers."""

    offsets: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Subtask, or nothing -> what is added to the log-likelihood of each answer."""
    images: int = 0
    """Images that the offsets came from."""
    ids: str = ""
    """Digest of their ids."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Output -> SHA-256 of what was written."""


def read_record(folder: Path) -> AskRecord:
    """Return what a folder of features has of earlier answers; OutputError if it is damaged."""
    file = folder / RECORD
    try:
        return msgspec.convert(decode_json(file.read_bytes()), AskRecord)
    except FileNotFoundError:
        return AskRecord()
    except (OSError, ValueError) as error:
        raise OutputError(f"{file} cannot be read ({error}); remove it") from error


def require_ours(out: Path, folder: Path | None, *, force: bool) -> None:
    """Raise OutputError for a file that is there and was not written from these features."""
    if force or not out.exists():
        return
    known = None if folder is None else read_record(folder).outputs.get(str(out.absolute()))
    if known != file_sha256(out):
        where = "these features" if folder is None else folder
        raise OutputError(
            f"{out} exists and was not written from {where}; pass another `out`, or `force` to"
            " replace it"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A folder of features whose questions are answered."""

    store: FeatureStore
    """All its examples are in the test split, without a label."""
    selection: Selection
    """The classifier that only reads the answers."""
    questions: Sequence[AskedQuestion]

    @classmethod
    def of(cls, store: FeatureStore, *, has_offset: bool) -> "Asked":
        """Return a store's; with an offset that of its first run, or of these examples."""
        view = store.in_one_split("test")
        found = cls(view, asked_selection(store), asked_questions(store.benchmark))
        return found._moved() if has_offset else found

    @property
    def _file(self) -> Path:
        return Path(self.store.path) / RECORD

    def _moved(self) -> "Asked":
        """Return the same with offsets, which are computed and recorded once."""
        record = read_record(Path(self.store.path))
        if not record.offsets:
            ids = self.store.ids("test")
            record = replace(
                record, offsets=dict(self._offsets()), images=len(ids), ids=digest(list(ids))
            )
            write_json(self._file, msgspec.to_builtins(record))
        tasks = [
            replace(task, fitted=AnswersFit.of(1, np.array(record.offsets[task.subtask or ""])))
            for task in self.selection.tasks
        ]
        return replace(self, selection=replace(self.selection, tasks=tuple(tasks)))

    def _offsets(self) -> Iterator[tuple[str, list[float]]]:
        texts = {one.subtask: one.written for one in self.questions}
        found = label_answers(self.store, "test", ANSWERS, texts)
        for one, (subtask, answers) in zip(self.questions, found, strict=True):
            if not len(answers.sums):
                raise ParameterError("`offset` needs an image that can be read; omit it")
            offsets = level_offsets(answers.sums) if one.are_levels else -answers.sums.mean(axis=0)
            yield subtask or "", (offsets - offsets.max()).tolist()

    def predicted(self, root: Path) -> Predicted:
        """Return the predictions; media are in `root`."""
        table = predictions_of(self.store, self.selection, None)
        if self.questions[0].are_levels:  # all have the same
            table = table.with_columns(_expected_level(self.questions[0].answers))
        folder = MediaFolder(root, root)
        return Predicted(table, self.selection, self.store, dict.fromkeys(self._examples, folder))

    @property
    def _examples(self) -> dict[str, Example]:
        rows = stored_rows(self.store, "test")
        return {} if rows is None else as_examples(rows, "test")

    def write(self, output: Output, predicted: Predicted, *, force: bool) -> None:
        """Write an output anew; OutputError if this folder did not write what is there."""
        folder, name = Path(self.store.path), str(output.path.absolute())
        require_ours(output.path, folder, force=force)
        record = read_record(folder)

        def before_naming(partial: Path) -> None:
            outputs = {**record.outputs, name: file_sha256(partial)}
            write_json(self._file, msgspec.to_builtins(replace(record, outputs=outputs)))

        write_predictions(output, predicted, before_naming)

    def sort(self, folder: Path, predicted: Predicted, frame: pl.DataFrame) -> SortedFiles:
        """Copy the files into folders of their answers."""
        media = next(iter(predicted.folders.values()))
        group = Group([*self._examples.values()], media)
        facts = {"classifier": digest(self.selection.to_json())}
        sorting = SortedFolder(folder, self.selection, [group], facts)
        sorting.begin()
        return sorting.fill(frame)


def level_offsets(log_likelihoods: Array) -> Array:
    """Return offsets, equal steps of a scale, with which the mean expected level is its middle.

    Of `(n, levels)` log-likelihoods.

    >>> level_offsets(np.log(np.array([[0.1, 0.2, 0.7]]))).round(3).tolist()
    [0.973, -0.0, -0.973]
    """
    levels = np.arange(log_likelihoods.shape[1]) - (log_likelihoods.shape[1] - 1) / 2
    low, high = -STEEPEST, STEEPEST
    for _ in range(HALVINGS):
        step = (low + high) / 2
        mean = float((among_classes(log_likelihoods - step * levels) @ levels).mean())
        low, high = (step, high) if mean > 0 else (low, step)
    return -(low + high) / 2 * levels


def _expected_level(levels: Sequence[str]) -> pl.Expr:
    """Return the column of expected levels."""
    numbers = {name: number for number, name in enumerate(levels, start=1)}
    vote = pl.element().struct
    number = vote["class"].replace_strict(numbers, return_dtype=pl.Float64)
    level = pl.col("votes").list.eval(vote["score"] * number).list.sum()
    return level.cast(pl.Float32).alias(LEVEL)
