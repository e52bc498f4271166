"""A benchmark with its input files: examples of both splits, and how their media are read."""

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import polars as pl

from savs.datasets import (
    Benchmark,
    Example,
    Leaks,
    MediaError,
    MediaFolder,
    SourceError,
    check_splits,
    find_files,
    read_examples,
    unknown_labels,
)
from savs.datasets.benchmarks.class_folders import has_unlabelled
from savs.datasets.benchmarks.options import under_each_prompt, under_one_prompt
from savs.datasets.media.download import MAX_TOTAL_BYTES, Fetching
from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.catalogue import KINDS, kind_of_content
from savs.datasets.media_kinds.decoders.videos import duration_ms
from savs.datasets.media_kinds.decoding import (
    MAX_IMAGE_PIXELS,
    NATIVE,
)
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.rows.files import Files, require_present
from savs.datasets.rows.label_kinds import Labels
from savs.datasets.rows.media_names import (
    is_packed,
    kind_of_name,
    packed_column,
)
from savs.datasets.rows.plugin_guard import find_folder_notes, label_window
from savs.datasets.splits.clusters import cluster_ids
from savs.datasets.splits.held_out import hold_out
from savs.datasets.splits.labels import label_doubts, refuse_doubts
from savs.datasets.splits.shared_media import (
    compare_splits,
    content_table,
    content_ties,
    media_names,
    names_read_as,
    recurring_digests,
)
from savs.datasets.windows import in_windows
from savs.pipeline.inputs.input_options import FileOfRows, InputOptions
from savs.pipeline.targets import labels_of
from savs.stores.format.layout import UNLABELLED

Splits = dict[str, list[Example]]
"""Split that was given -> its examples, in the order of the input file."""
MOST_COMPARED = 50_000
"""Test media that are compared by content: of more, reading them would take long."""
ENDS = 8
"""Media that are looked at from each end of a column, or of a folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """A benchmark with its input files."""

    benchmark: Benchmark
    """Reads the rows; columns and question of the options are part of it."""
    options: InputOptions
    fetching: Fetching | None = None
    """How media at a URL are fetched; None fetches none."""
    trains: bool = True
    """Whether training examples are needed; without, the split is empty if none are given."""
    _files: dict[str | Path, Files] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Source -> its files: each is looked up once, since that may ask a hub over the network."""

    @property
    def labels(self) -> Labels:
        """What the labels of rows are."""
        return labels_of({"options": self.benchmark.options})

    def examples(self) -> Splits:
        """Read and check the splits: both, or the training examples alone.

        DatasetError if a file cannot be read, a row is malformed, or no image exists.
        """
        options = self.options
        self.require_files()
        labels_come = options.unlabelled is not None and options.test is None
        is_split = options.draw is not None or options.hold_out is not None
        if self.trains and options.train is None and not is_split and not labels_come:
            what = "training examples" if options.test is not None else "examples"
            raise SourceError(
                f"there are no {what}: give `train`, or have them drawn from the"
                " test file with `shots` (examples per class) or `train_groups`"
            )
        splits: Splits = {"train": [], **self.given_splits()}
        if splits["train"] or (self.trains and not labels_come):
            check_splits(splits["train"], splits.get("test", []), self.labels)
        return splits

    def require_files(self) -> None:
        """Raise SourceError if a file that was given is not there."""
        options = self.options
        for source in filter(None, (options.train, options.test, options.unlabelled)):
            require_present(source)

    def given_splits(self) -> Splits:
        """Read the splits that were given, even if some are missing; errors as in `examples`."""
        splits = {split: rows[: self.options.limit] for split, rows in self._read().items()}
        self._require_media(splits)
        if (windows := self.options.windows) is not None:
            label = partial(label_window, self.benchmark)
            splits = {
                split: in_windows(rows, windows, partial(video_ms, media=self.media(split)), label)
                for split, rows in splits.items()
            }
        prompts = self.benchmark.prompts  # after the draw: an example is in one split with all
        return (
            {s: under_each_prompt(rows, prompts) for s, rows in splits.items()}
            if prompts
            else splits
        )

    def _read(self) -> Splits:
        options, splits, draw = self.options, {}, self.options.draw
        if draw is not None:
            draw = replace(draw, kind=self.labels.kind)
        if options.hold_out is not None:
            file = str(options.train or options.test)  # one of them is given
            pool = read_examples(self.benchmark, self._find(file), "test")
            splits["train"], splits["test"] = hold_out(pool, options.hold_out, options.columns)
        elif options.train is not None:
            splits["train"] = read_examples(self.benchmark, self._find(options.train), "train")
        if draw is not None and splits:
            splits["train"] = draw.draw(splits["train"])
        if "test" in splits:
            pass  # it was held out
        elif options.test is not None and (draw is None or splits):
            test = read_examples(self.benchmark, self._find(options.test), "test", options.limit)
            splits["test"] = test
        elif options.test is not None and draw is not None:
            pool = read_examples(self.benchmark, self._find(options.test), "test")
            if self.fetching is not None:  # only media that are there can be compared
                self.fetching.fetch_all(media_names(pool))
            ties = content_ties(pool, recurring_digests(pool, self.media("test")))
            splits["train"], splits["test"] = draw.split(pool, cluster_ids(ties))
        if (unlabelled := self.unlabelled) is not None:
            splits[UNLABELLED] = read_examples(
                self.benchmark, self._find(unlabelled), UNLABELLED, options.limit
            )
        if not splits:
            raise SourceError("there are no examples: give `train`, `test`, or both")
        return splits

    @property
    def unlabelled(self) -> str | Path | None:
        """The source of examples without a label; None if there are none."""
        if self.options.unlabelled is not None or self.benchmark.read_unlabelled is None:
            return self.options.unlabelled
        folders = filter(None, (self.options.train, self.options.test))
        return next((folder for folder in folders if has_unlabelled(Path(folder))), None)

    def _require_media(self, examples: Splits) -> None:
        """Raise MediaError if none of the named media exists."""
        folders = {split: self.media(split) for split in examples}
        named = [(s, name) for s, rows in examples.items() for row in rows for name in row.media]
        if named and not any(folders[split].has(name) for split, name in named):
            split, name = named[0]
            raise MediaError(
                f"none of the {len(named):,} media exists: {folders[split].absence(name)}"
            )

    def given(self, split: str) -> str | Path:
        """Return the file or folder that the rows of a split come from.

        SourceError if there is none.
        """
        options = self.options
        by_split = {"train": options.train, "test": options.test, UNLABELLED: self.unlabelled}
        source = by_split.get(split) or options.train or options.test or options.unlabelled
        if source is None:
            raise SourceError("there are no examples: give `train`, `test`, or both")
        return source

    def media(self, split: str) -> MediaFolder:
        """Return the media folder of a split."""
        options, source = self.options, self.given(split)
        folder = self._find(source).root
        root = folder if options.media_root is None else Path(options.media_root)
        outside = options.allow_outside or isinstance(source, FileOfRows)
        return MediaFolder(root, folder, replace(self.rules, allow_outside=outside))

    @property
    def rules(self) -> MediaRules:
        """How media of both splits are read."""
        options, limit = self.options, self.options.max_image_pixels
        return MediaRules(
            video_frames=options.video_frames,
            draft_pixels=options.jpeg_draft,
            max_pixels=MAX_IMAGE_PIXELS if limit is None else limit,
            video=options.video or NATIVE,
            audio_max_seconds=options.audio_max_seconds,
            allow_outside=options.allow_outside,
            fetching=self.fetching,
        )

    def notes(self, examples: Splits) -> list[str]:
        """Return what a user should know before a run: remarks on media, doubtful labels, leaks.

        Errors as in `survey` and `doubts`.
        """
        train, media = examples["train"], self.media("train")
        lines = self.survey(examples)
        if test := examples.get("test"):
            lines += self.test_doubts(test)
        if not train:
            return lines
        lines += self.doubts(content_table(train, recurring_digests(train, media)))
        if "test" not in examples:
            return lines
        lines += unknown_labels(train, examples["test"], kind=self.labels.kind)
        return lines + self.leaks(examples).summary()

    def doubts(self, train: pl.DataFrame) -> list[str]:
        """Return what is doubtful about training examples, see `label_doubts`.

        RowError if there is something, and the options are strict.
        """
        once = under_one_prompt(train, self.benchmark.prompts)
        doubts = label_doubts(once, kind=self.labels.kind)
        return refuse_doubts(doubts, strict=self.options.strict)

    def test_doubts(self, test: Sequence[Example]) -> list[str]:
        """Return what is doubtful about the labels of test examples, which are never refused."""
        names, media = media_names(test), self.media("test")
        digests = recurring_digests(test, media) if len(names) <= MOST_COMPARED else {}
        once = under_one_prompt(content_table(test, digests), self.benchmark.prompts)
        return label_doubts(once, "test", kind=self.labels.kind)

    def _find(self, source: str | Path) -> Files:
        """Return the files of a source, or its folder alone if the benchmark reads folders."""
        if source not in self._files:
            folder = self.benchmark.read_folder is not None
            self._files[source] = Files(Path(source), ()) if folder else find_files(source)
        return self._files[source]

    def survey(self, examples: Splits) -> list[str]:
        """Return remarks about where media were found; fetch media at URLs.

        MediaError if two paths of another machine would be one file.
        """
        names = {split: media_names(rows) for split, rows in examples.items()}
        folders = dict.fromkeys(self.media(split).packed for split in examples)
        lines = [
            line
            for folder in filter(None, folders)
            for line in find_folder_notes(self.benchmark, folder)
        ]
        lines += [
            f"{split}: {line}"
            for split, names_of_split in names.items()
            for line in self.media(split).rerooted(names_of_split)
        ]
        if self.fetching is not None:
            lines += self.fetching.fetch_all(
                [name for names_of_split in names.values() for name in names_of_split]
            )
        return lines

    def other_kinds(self, examples: Splits) -> frozenset[MediumKind]:
        """Return the kinds of media that are read as images and are none, see `find_others`."""
        return frozenset(
            kind
            for split, rows in examples.items()
            for kind in find_others(names_read_as(IMAGE_COLUMN, rows), self.media(split))
        )

    def decoding_facts(
        self, *, kinds: Container[MediumKind], has_boxes: bool = False
    ) -> dict[str, int | str]:
        """Return how media are decoded, where that was given or there are media of these kinds."""
        options, facts = self.options, dict[str, int | str]()
        for kind in KINDS:
            facts |= kind.facts(self.rules, is_there=kind in kinds, options=self._given)
        if has_boxes:
            facts["box_margin"] = self.rules.box_margin
        if (windows := options.windows) is not None:
            facts |= asdict(windows)
        if options.jpeg_draft is not None:
            facts["jpeg_draft"] = options.jpeg_draft
        return facts

    def needed_kinds(self, kinds: Container[MediumKind]) -> list[MediumKind]:
        """Return the kinds that a model must take if there are media of some kinds."""
        rules, given = self.rules, self._given
        return [
            kind for kind in KINDS if kind.needs_model(rules, is_there=kind in kinds, options=given)
        ]

    @property
    def _given(self) -> list[str]:
        """Names of the options that the user gave."""
        options = self.options
        return [f.name for f in fields(options) if getattr(options, f.name) is not None]

    def leaks(self, examples: Splits) -> Leaks:
        """Compare the splits by the content of their media; unreadable media match nothing.

        Only test media of the same size as a training medium are read.
        """
        trained, tested = self.media("train"), self.media("test")
        return compare_splits(examples["train"], examples["test"], trained, tested)


def find_others(names: Iterable[str], media: MediaFolder) -> dict[MediumKind, str]:
    """Return kinds of media among those of the column of images, with the name of one each.

    Media in the rows of files, and files whose suffix says no kind, are known by their first bytes:
    of each column and each folder, the first and the last `ENDS` are looked at, unless the names
    show all kinds that there may be. What cannot be read is an image.
    """
    wanted = {kind for kind in KINDS if kind is not IMAGES and kind.column == IMAGE_COLUMN}
    others: dict[MediumKind, str] = {}
    unclear: dict[str, list[str]] = {}
    for name in names:
        kind = kind_of_name(name)
        if kind in wanted:
            others.setdefault(kind, name)
            if others.keys() == wanted:
                return others
        elif is_packed(name):
            unclear.setdefault(packed_column(name), []).append(name)
        elif kind is not IMAGES:
            unclear.setdefault(str(PurePosixPath(name).parent), []).append(name)
    for group in unclear.values():
        for name in group if len(group) <= 2 * ENDS else [*group[:ENDS], *group[-ENDS:]]:
            with suppress(MediaError):
                kind = kind_of_content(media.read(name))
                if kind in wanted:
                    others.setdefault(kind, name)
            if others.keys() == wanted:
                return others
    return others


def video_ms(name: str, media: MediaFolder) -> int | None:
    """Return the duration of a video; None of another medium, and of what cannot be read."""
    if kind_of_name(name) is IMAGES:
        return None
    try:
        data = media.read(name)
        return duration_ms(data, name) if VIDEOS.has_content(data) else None
    except MediaError:  # the row is skipped with its reason
        return None


def make_fetching(inputs: InputOptions, folder: Path | None) -> Fetching | None:
    """Return how media are fetched into a folder, or only read without one; None if not wanted."""
    if not inputs.fetch_urls:
        return None
    most = MAX_TOTAL_BYTES if inputs.fetch_gb is None else inputs.fetch_gb * 10**9
    return Fetching(folder, inputs.allow_private_addresses, most)


@contextmanager
def temporary_fetching(inputs: InputOptions) -> Iterator[Fetching | None]:
    """Yield a `Fetching` whose folder is removed when the block ends; None if not wanted."""
    if not inputs.fetch_urls:
        yield None
        return
    with TemporaryDirectory(prefix="savs-fetched-") as folder:
        yield make_fetching(inputs, Path(folder))
