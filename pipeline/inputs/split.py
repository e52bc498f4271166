"""Split one file into a training and a test file that share no group, medium or example."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from savs.datasets import (
    Benchmark,
    Example,
    MediaError,
    MediaFolder,
    Shots,
    SourceError,
    check_splits,
    find_files,
    read_examples,
)
from savs.datasets.media.media import MediaRules
from savs.datasets.rows.examples import iter_examples
from savs.datasets.rows.files import Files
from savs.datasets.rows.media_names import is_address, is_packed
from savs.datasets.rows.rewrite import common_form, copy_rows, form_of
from savs.datasets.rows.tar_shards import TAR
from savs.datasets.splits.clusters import cluster_ids
from savs.datasets.splits.labels import label_doubts, refuse_doubts
from savs.datasets.splits.shared_media import (
    compare_splits,
    content_table,
    content_ties,
    media_names,
    recurring_digests,
)
from savs.datasets.splits.shots import draw_clusters
from savs.foundation.errors import ParameterError
from savs.foundation.files import real_path
from savs.pipeline.inputs.input_options import AskingKeywords, InputOptions
from savs.pipeline.inputs.plugins import choose_benchmark
from savs.pipeline.inputs.source import temporary_fetching
from savs.pipeline.running.options import sort_keywords
from savs.pipeline.running.output_files import check_free, output_files


@dataclass(frozen=True, slots=True)
class Splitting:
    """Result of a split: two files without shared examples, media or groups."""

    paths: Mapping[str, Path]
    """Split -> its file."""
    rows: Mapping[str, int]
    """Split -> rows of its file."""
    classes: Mapping[str, Mapping[tuple[str | None, str], int]]
    """Split -> subtask and class -> examples, in the order of the file."""
    clusters: int
    """Sets of examples that share a group or a medium, single examples included."""
    missing: tuple[str, ...]
    """Media that do not exist, and so are compared by name only."""
    doubts: tuple[str, ...]
    """What is doubtful about the labels of all examples, see `label_doubts`."""
    media_root: Path | None
    """Value for `savs extract --media-root`; None if the folder of each file is right."""


def split(
    benchmark: str | Path | Benchmark,
    source: str | Path,
    *,
    train: str | Path,
    test: str | Path,
    shots: Shots,
    force: bool = False,
    strict: bool = False,
    **reading: Unpack[AskingKeywords],
) -> Splitting:
    """Draw training examples from a file; write these to one file and all others to another.

    Rows that share a group, a medium (by content, whatever its name) or, without media, a prompt
    stay in the same split. Both files are read again and compared before they get their names.

    Parameters
    ----------
    benchmark
        Name of a benchmark, path of a Python file with a user's benchmark, or a benchmark.
    source
        The file to split, or what else `savs extract --test` takes.
    train, test
        The files to write, of the same form as the source.
    shots
        How many examples of each class, or groups of each subtask, train; and the seed.
    force
        Replace files that are there.
    strict
        Refuse doubtful labels, see `label_doubts`.
    **reading
        `columns`, `question`, `media_root`, `allow_outside` and `fetch_urls`, see `InputOptions`.

    Returns
    -------
    Splitting
        What is in the two files.

    Raises
    ------
    SourceError
        The source cannot be read, or a file to write would be of another form.
    OutputError
        A file to write is there already, or cannot be written.
    RowError
        A class has too few examples, or none that could be tested; or labels are doubtful, and
        that is refused.
    MediaError
        None of the images is there.
    """
    (read,) = sort_keywords("split", reading, AskingKeywords)
    if not isinstance(shots, Shots):
        raise ParameterError(f"shots is {shots!r:.100}, expected Shots, such as Shots(20)")
    inputs = InputOptions(**read, strict=strict)
    chosen = choose_benchmark(benchmark, columns=inputs.columns, question=inputs.question)
    return split_file(
        chosen,
        source,
        inputs,
        shots,
        {"train": Path(train), "test": Path(test)},
        force=force,
    )


def split_file(
    benchmark: Benchmark,
    source: str | Path,
    inputs: InputOptions,
    shots: Shots,
    targets: Mapping[str, Path],
    *,
    force: bool,
) -> Splitting:
    """Split a file, read as the inputs say, into the target files, see `split`."""
    if benchmark.read_folder is not None:
        raise _not_split(f"{benchmark.name} reads folders")
    files = find_files(source)
    if shard := next((path for path in files if path.suffix.lower() == TAR), None):
        raise _not_split(f"{shard} is a tar shard")
    numbered = list(iter_examples(benchmark, files, "test"))
    rows, pool = [row for row, _ in numbered], [example for _, example in numbered]
    _check_targets(files, targets, force=force)
    root = files.root if inputs.media_root is None else Path(inputs.media_root)
    with temporary_fetching(inputs) as fetching:
        media = MediaFolder(root, files.root, MediaRules(None, inputs.allow_outside, fetching))
        if fetching is not None:
            fetching.fetch_all(media_names(pool))
        missing = _missing(pool, media)
        digests = recurring_digests(pool, media)
        table = content_table(pool, digests)
        doubts = refuse_doubts(label_doubts(table), strict=inputs.strict)
        ties = [[*t, f"row {r}"] for t, r in zip(content_ties(pool, digests), rows, strict=True)]
        clusters = cluster_ids(ties)
        trains = draw_clusters(pool, clusters, shots)
        sides = {row: "train" if train else "test" for row, train in zip(rows, trains, strict=True)}
        with output_files(targets, force=force) as paths:
            for name, path in paths.items():
                copy_rows(files, [row for row, side in sides.items() if side == name], path)
            examples = {name: read_examples(benchmark, path, name) for name, path in paths.items()}
            check_splits(examples["train"], examples["test"])
            for name, written in examples.items():
                sources = [e for e, row in zip(pool, rows, strict=True) if sides[row] == name]
                _require_media(benchmark, sources, written, targets[name])
            _prove(benchmark, examples, paths, targets, media, len(pool))
    return Splitting(
        paths=targets,
        rows=Counter(sides.values()),
        classes={
            name: Counter((e.subtask, str(e.label)) for e in examples[name]) for name in examples
        },
        clusters=len(set(clusters)),
        missing=missing,
        doubts=tuple(doubts),
        media_root=_other_root(pool, media, targets),
    )


def _not_split(what: str) -> SourceError:
    return SourceError(
        f"{what}, but only files of rows can be split; draw in savs extract instead: `savs extract"
        " ... --test DIR --shots N --seed S`"
    )


def _check_targets(files: Files, targets: Mapping[str, Path], *, force: bool) -> None:
    form, sources = common_form(files), {real_path(path) for path in files}
    for name, target in targets.items():
        if real_path(target) in sources:
            raise SourceError(f"{target} is the file to split; pass another `{name}`")
        if form_of(target) != form:
            raise SourceError(
                f"{target} would be {form_of(target)}, but {files.paths[0].name} is {form}; pass"
                f" a name that ends in {files.paths[0].suffix} as `{name}`"
            )
        check_free(target, name, force=force)
    if real_path(targets["train"]) == real_path(targets["test"]):
        raise SourceError(f"{targets['test']} is both `train` and `test`; pass two names")


def _missing(pool: Sequence[Example], media: MediaFolder) -> tuple[str, ...]:
    names = media_names(pool)
    missing = tuple(name for name in names if not media.has(name))
    if missing and len(missing) == len(names):
        raise MediaError(
            f"none of the {len(names):,} images exists, so shared ones cannot be found:"
            f" {names[0]} is not in {media.root.absolute()}; set `media_root` to the folder of the"
            " images"
        )
    return missing


def _require_media(
    benchmark: Benchmark, pool: Sequence[Example], written: Sequence[Example], target: Path
) -> None:
    """Raise SourceError where an example of a written file names other media than in the source."""
    for before, now in zip(pool, written, strict=False):
        names, others = (media_names([e]) for e in (before, now))
        if names != others and not any(map(is_packed, names)):
            raise SourceError(
                f"{before.id} is about {', '.join(names)}, but in {target} it would be about"
                f" {', '.join(others)}: media of {benchmark.name} follow from the number of the"
                " row; add a column that names them, see `savs benchmarks"
                f" {benchmark.name}`"
            )


def _prove(
    benchmark: Benchmark,
    examples: Mapping[str, Sequence[Example]],
    paths: Mapping[str, Path],
    targets: Mapping[str, Path],
    pooled: MediaFolder,
    total: int,
) -> None:
    """Check, from the written files alone, that no example is lost and nothing is shared."""
    media = {name: replace(pooled, packed=path.parent) for name, path in paths.items()}
    leaks = compare_splits(examples["train"], examples["test"], media["train"], media["test"])
    grouped = examples if benchmark.grouped_train else _read_as_tested(benchmark, paths)
    groups = [{e.group for e in grouped[name] if e.group is not None} for name in paths]
    written = sum(len(rows) for rows in examples.values())
    if leaks or groups[0] & groups[1] or written != total:
        said = "; ".join(["", *leaks.summary()])
        for name, path in paths.items():  # ids name the files as they will be called
            said = said.replace(f"{path.stem}:", f"{targets[name].stem}:")
        raise SourceError(
            f"the written files failed the check ({written} of {total} examples,"
            f" {len(groups[0] & groups[1])} groups in both splits"
            f"{said}): did the input change meanwhile? nothing was"
            " kept, run the command again"
        )


def _read_as_tested(benchmark: Benchmark, paths: Mapping[str, Path]) -> dict[str, list[Example]]:
    """Read both files as test files, where training examples would have no groups."""
    return {name: read_examples(benchmark, path, "test") for name, path in paths.items()}


def _other_root(
    pool: Sequence[Example], media: MediaFolder, targets: Mapping[str, Path]
) -> Path | None:
    named = any(not is_packed(name) and not is_address(name) for name in media_names(pool))
    root = real_path(media.root)
    away = any(real_path(target).parent != root for target in targets.values())
    return media.root if named and away else None
