"""What is to be extracted: a benchmark, its input files, the folder of its images."""

from dataclasses import dataclass, field
from pathlib import Path

from savs.datasets import (
    Benchmark,
    Example,
    Leaks,
    MediaError,
    MediaFolder,
    Shots,
    SourceError,
    check_splits,
    find_files,
    read_examples,
)
from savs.datasets.media.digests import media_names
from savs.datasets.media.media import DEFAULT_RULES, MediaRules
from savs.datasets.media.video_containers import is_video_name
from savs.datasets.media.videos import DEFAULT_FRAMES
from savs.datasets.rows.files import Files
from savs.datasets.splits.leaks import compare_splits

Splits = dict[str, list[Example]]
"""Split -> its examples, in the order of the input file."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be extracted."""

    benchmark: Benchmark
    train: str | Path | None
    """Input files of the training examples; without them, `shots` are drawn from the test files."""
    test: str | Path
    media_root: Path | None = None
    """Folder of the images; each input file's own folder by default."""
    limit: int | None = None
    """Examples a split, from the start of the file; all by default."""
    shots: Shots | None = None
    """How training examples are drawn; all of `train` by default."""
    rules: MediaRules = DEFAULT_RULES
    """How media are found and decoded."""
    _files: dict[str | Path, Files] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Source -> its files: each is looked up once, since that may ask a hub over the network."""

    def examples(self) -> Splits:
        """Read and check both splits.

        Raises
        ------
        DatasetError
            A file cannot be read, a row is not of its form, or no image at all is there.
        """
        train, test = self._read()
        found = {"train": train[: self.limit], "test": test[: self.limit]}
        check_splits(found["train"], found["test"])
        self._require_media(found)
        return found

    def _read(self) -> tuple[list[Example], list[Example]]:
        if self.train is not None:
            train = read_examples(self.benchmark, self._find(self.train), "train")
            if self.shots is not None:
                train, _ = self.shots.draw(train, test_the_rest=False)
            test = read_examples(self.benchmark, self._find(self.test), "test", self.limit)
            return train, test
        if self.shots is None:
            raise SourceError(
                "there are no training examples: give --train FILE, or have them drawn from the"
                " test file with --shots N (examples a class) or --train-groups N"
            )
        pool = read_examples(self.benchmark, self._find(self.test), "test")
        return self.shots.draw(pool, test_the_rest=True)

    def _require_media(self, examples: Splits) -> None:
        """Raise MediaError where not one of the images that are named is there."""
        folders = {split: self.media(split) for split in examples}
        named = [(s, name) for s, rows in examples.items() for row in rows for name in row.media]
        if named and not any(folders[split].has(name) for split, name in named):
            split, name = named[0]
            raise MediaError(
                f"none of the {len(named):,} images is there: {folders[split].absence(name)}"
            )

    def media(self, split: str) -> MediaFolder:
        """Return the folder below which a split's images lie."""
        source = self.train if split == "train" and self.train is not None else self.test
        folder = self._find(source).root
        return MediaFolder(self.media_root or folder, folder, self.rules)

    def _find(self, source: str | Path) -> Files:
        """Return the files of a source, or its folder alone if the benchmark reads folders."""
        if source not in self._files:
            folder = self.benchmark.read_folder is not None
            self._files[source] = Files(Path(source), ()) if folder else find_files(source)
        return self._files[source]

    def survey(self, examples: Splits) -> list[str]:
        """Return what is worth a word about where the media lie; fetch those at an address.

        Raises
        ------
        MediaError
            Two paths of another machine would be one file.
        """
        names = {split: media_names(found) for split, found in examples.items()}
        lines = [
            f"{split}: {line}"
            for split, own in names.items()
            for line in self.media(split).rerooted(own)
        ]
        if self.rules.fetching is not None:
            lines += self.rules.fetching.fetch_all([name for own in names.values() for name in own])
        return lines

    def video_frames(self, examples: Splits) -> int | None:
        """Return the frames a video, where it was asked for or a name is that of a video."""
        if self.rules.video_frames is not None:
            return self.rules.video_frames
        names = (name for found in examples.values() for e in found for name in e.media)
        return DEFAULT_FRAMES if any(map(is_video_name, names)) else None

    def leaks(self, examples: Splits) -> Leaks:
        """Compare the splits by the content of their media; what cannot be read matches nothing.

        Of the test media, those are read whose size a training medium has.
        """
        trained, tested = self.media("train"), self.media("test")
        return compare_splits(examples["train"], examples["test"], trained, tested)
