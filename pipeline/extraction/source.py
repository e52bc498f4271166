"""What is to be extracted: a benchmark, its two files, the folder of its images."""

from dataclasses import dataclass
from pathlib import Path

from savs.datasets import (
    Benchmark,
    Example,
    MediaError,
    MediaFolder,
    check_splits,
    read_examples,
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be extracted."""

    benchmark: Benchmark
    train: Path
    test: Path
    media_root: Path | None = None
    """Folder of the images; each input file's own folder by default."""
    limit: int | None = None
    """Examples a split, from the start of the file; all by default."""

    def examples(self) -> dict[str, list[Example]]:
        """Read and check both splits; split -> examples, in the order of the input file.

        Raises
        ------
        DatasetError
            A file cannot be read, a row is not of its form, or no image at all is there.
        """
        files = {"train": self.train, "test": self.test}
        found = {
            split: read_examples(self.benchmark, path, split, self.limit)
            for split, path in files.items()
        }
        check_splits(found["train"], found["test"])
        self._require_media(found)
        return found

    def _require_media(self, examples: dict[str, list[Example]]) -> None:
        """Raise MediaError where not one of the images that are named is there."""
        named = [(s, name) for s, rows in examples.items() for row in rows for name in row.media]
        if named and not any(self.has_medium(split, name) for split, name in named):
            split, name = named[0]
            raise MediaError(
                f"none of the {len(named):,} images is there: {name} is not in"
                f" {self.media(split).root.absolute()}; give --media-root the folder of the images"
            )

    def has_medium(self, split: str, name: str) -> bool:
        """Return whether a split's image is a file in its folder."""
        try:
            return self.media(split).path(name).is_file()
        except (MediaError, OSError, ValueError):
            return False

    def media(self, split: str) -> MediaFolder:
        """Return the folder below which a split's images lie."""
        return MediaFolder(
            self.media_root or {"train": self.train, "test": self.test}[split].parent
        )
