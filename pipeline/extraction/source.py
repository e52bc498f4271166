"""What is to be extracted: a benchmark, its input files, the folder of its images."""

from dataclasses import dataclass
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
from savs.datasets.contents import compare_splits

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
            train = read_examples(self.benchmark, self.train, "train")
            if self.shots is not None:
                train, _ = self.shots.draw(train, test_the_rest=False)
            return train, read_examples(self.benchmark, self.test, "test", self.limit)
        if self.shots is None:
            raise SourceError(
                "there are no training examples: give --train FILE, or have them drawn from the"
                " test file with --shots N (examples a class) or --train-groups N"
            )
        pool = read_examples(self.benchmark, self.test, "test")
        return self.shots.draw(pool, test_the_rest=True)

    def _require_media(self, examples: Splits) -> None:
        """Raise MediaError where not one of the images that are named is there."""
        folders = {split: self.media(split) for split in examples}
        named = [(s, name) for s, rows in examples.items() for row in rows for name in row.media]
        if named and not any(folders[split].has(name) for split, name in named):
            split, name = named[0]
            raise MediaError(
                f"none of the {len(named):,} images is there: {name} is not in"
                f" {folders[split].root.absolute()}; give --media-root the folder of the images"
            )

    def media(self, split: str) -> MediaFolder:
        """Return the folder below which a split's images lie."""
        source = self.train if split == "train" and self.train is not None else self.test
        folder = find_files(source).root
        return MediaFolder(self.media_root or folder, folder)

    def leaks(self, examples: Splits) -> Leaks:
        """Compare the splits by the content of their media; what cannot be read matches nothing.

        Of the test media, those are read whose size a training medium has.
        """
        trained, tested = self.media("train"), self.media("test")
        return compare_splits(examples["train"], examples["test"], trained, tested)
