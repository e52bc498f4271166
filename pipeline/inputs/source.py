"""A benchmark with its input files: examples of both splits and their media."""

from dataclasses import dataclass, field
from pathlib import Path

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
from savs.datasets.media.digests import media_names
from savs.datasets.media.download import Fetching
from savs.datasets.media.limits import MAX_IMAGE_PIXELS
from savs.datasets.media.media import MediaRules
from savs.datasets.media.video_containers import is_video_name
from savs.datasets.media.videos import DEFAULT_FRAMES
from savs.datasets.rows.files import Files
from savs.datasets.rows.plugin_guard import find_folder_notes
from savs.datasets.splits.shared_media import compare_splits
from savs.pipeline.inputs.input_options import InputOptions

Splits = dict[str, list[Example]]
"""Split -> its examples, in the order of the input file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A benchmark with its input files."""

    benchmark: Benchmark
    """Reads the rows; columns and question of the options are part of it."""
    options: InputOptions
    fetching: Fetching | None = None
    """How media at a URL are fetched; None fetches none."""
    trains: bool = True
    """Whether training examples are needed; without, the split is empty where none are given."""
    _files: dict[str | Path, Files] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Source -> its files: each is looked up once, since that may ask a hub over the network."""

    def examples(self) -> Splits:
        """Read and check both splits.

        Raises
        ------
        DatasetError
            A file cannot be read, a row is malformed, or no image exists.
        """
        train, test = self._read()
        limit = self.options.limit
        found = {"train": train[:limit], "test": test[:limit]}
        if train or self.trains:
            check_splits(found["train"], found["test"])
        self._require_media(found)
        return found

    def _read(self) -> tuple[list[Example], list[Example]]:
        given = self.options
        if given.train is not None:
            train = read_examples(self.benchmark, self._find(given.train), "train")
            if given.shots is not None:
                train, _ = given.shots.draw(train, test_the_rest=False)
            test = read_examples(self.benchmark, self._find(given.test), "test", given.limit)
            return train, test
        if given.shots is None and not self.trains:
            return [], read_examples(self.benchmark, self._find(given.test), "test", given.limit)
        if given.shots is None:
            raise SourceError(
                "there are no training examples: give --train FILE, or have them drawn from the"
                " test file with --shots N (examples per class) or --train-groups N"
            )
        pool = read_examples(self.benchmark, self._find(given.test), "test")
        return given.shots.draw(pool, test_the_rest=True)

    def _require_media(self, examples: Splits) -> None:
        """Raise MediaError where none of the named images exists."""
        folders = {split: self.media(split) for split in examples}
        named = [(s, name) for s, rows in examples.items() for row in rows for name in row.media]
        if named and not any(folders[split].has(name) for split, name in named):
            split, name = named[0]
            raise MediaError(
                f"none of the {len(named):,} images exists: {folders[split].absence(name)}"
            )

    def media(self, split: str) -> MediaFolder:
        """Return the media folder of a split."""
        given = self.options
        source = given.train if split == "train" and given.train is not None else given.test
        folder = self._find(source).root
        root = folder if given.media_root is None else Path(given.media_root)
        limit = given.max_image_pixels
        rules = MediaRules(
            given.video_frames,
            given.allow_outside,
            self.fetching,
            given.jpeg_draft,
            MAX_IMAGE_PIXELS if limit is None else limit,
        )
        return MediaFolder(root, folder, rules)

    def notes(self, examples: Splits) -> list[str]:
        """Return what a user should know before a run: unknown labels, remarks on media, leaks.

        Raises
        ------
        MediaError
            As `survey`.
        """
        return [
            *(unknown_labels(examples["train"], examples["test"]) if examples["train"] else ()),
            *self.survey(examples),
            *self.leaks(examples).summary(),
        ]

    def _find(self, source: str | Path) -> Files:
        """Return the files of a source, or its folder alone if the benchmark reads folders."""
        if source not in self._files:
            folder = self.benchmark.read_folder is not None
            self._files[source] = Files(Path(source), ()) if folder else find_files(source)
        return self._files[source]

    def survey(self, examples: Splits) -> list[str]:
        """Return remarks about where media were found; fetch media at URLs.

        Raises
        ------
        MediaError
            Two paths of another machine would be one file.
        """
        names = {split: media_names(found) for split, found in examples.items()}
        folders = dict.fromkeys(self.media(split).packed for split in examples)
        lines = [
            line
            for folder in filter(None, folders)
            for line in find_folder_notes(self.benchmark, folder)
        ]
        lines += [
            f"{split}: {line}"
            for split, own in names.items()
            for line in self.media(split).rerooted(own)
        ]
        if self.fetching is not None:
            lines += self.fetching.fetch_all([name for own in names.values() for name in own])
        return lines

    def decoding_facts(self, examples: Splits) -> dict[str, int]:
        """Return how media are decoded, where that was given or there are videos."""
        given, found = self.options, {}
        names = (name for rows in examples.values() for e in rows for name in e.media)
        if given.video_frames is not None or any(map(is_video_name, names)):
            found["video_frames"] = given.video_frames or DEFAULT_FRAMES
        if given.jpeg_draft is not None:
            found["jpeg_draft"] = given.jpeg_draft
        return found

    def leaks(self, examples: Splits) -> Leaks:
        """Compare the splits by the content of their media; unreadable media match nothing.

        Only test media of the same size as a training medium are read.
        """
        trained, tested = self.media("train"), self.media("test")
        return compare_splits(examples["train"], examples["test"], trained, tested)
