"""How the media at URLs are fetched, as the inputs of a run ask for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from savs.datasets.media.download import MAX_TOTAL_BYTES, Fetching
from savs.pipeline.inputs.input_options import InputOptions


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
