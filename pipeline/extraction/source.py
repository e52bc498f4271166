"""What is to be extracted: a benchmark, its two files, the folder of its images."""

from dataclasses import dataclass
from pathlib import Path

from savs.datasets import Benchmark, Example, MediaFolder, check_splits, read_examples


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
        """Read and check both splits; split -> examples, in the order of the input file."""
        files = {"train": self.train, "test": self.test}
        found = {
            split: read_examples(self.benchmark, path, split, self.limit)
            for split, path in files.items()
        }
        check_splits(found["train"], found["test"])
        return found

    def media(self, split: str) -> MediaFolder:
        """Return the folder below which a split's images lie."""
        return MediaFolder(
            self.media_root or {"train": self.train, "test": self.test}[split].parent
        )
