"""Media by what they hold: which examples share some, within a file or between two splits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.example import Example
from savs.datasets.media.media import MediaFolder, sha256
from savs.datasets.splits.leaks import Leaks, find_leaks


def media_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all media, each once, in order of first use."""
    return list(dict.fromkeys(name for example in examples for name in example.media))


def digests_of(names: Iterable[str], media: MediaFolder) -> dict[str, str]:
    """Return name -> SHA-256 of the media that can be read."""
    return {name: sha256(data) for name in names if (data := _read(media, name))}


def content_ties(examples: Sequence[Example], media: MediaFolder) -> list[list[str]]:
    """Return what ties each example to others: its group, its media by content, else its prompt.

    Only media whose size another one has are read; one that cannot be read is known by its name.
    Without media, examples of the same prompt are tied.

    Returns
    -------
    list of lists
        For each example the ties that `cluster_ids` takes.
    """
    names = media_names(examples)
    sizes = {name: media.size(name) for name in names}
    often = Counter(sizes.values())
    digests = digests_of((n for n in names if sizes[n] is not None and often[sizes[n]] > 1), media)
    return [
        [
            *([f"group {e.group}"] if e.group is not None else []),
            *([f"medium {digests.get(n, n)}" for n in e.media] or [f"prompt {e.prompt}"]),
        ]
        for e in examples
    ]


def compare_splits(
    train: Sequence[Example], test: Sequence[Example], trained: MediaFolder, tested: MediaFolder
) -> Leaks:
    """Compare two splits by the content of their media; what cannot be read matches nothing.

    Of the test media, those are read whose size a training medium has.

    Parameters
    ----------
    train, test
        The examples.
    trained, tested
        Where their media lie.
    """
    digests = digests_of(media_names(train), trained)
    sizes = {trained.size(name) for name in digests}
    alike = (name for name in media_names(test) if tested.size(name) in sizes)
    return find_leaks(_table(train, digests), _table(test, digests_of(alike, tested)))


def _read(media: MediaFolder, name: str) -> bytes | None:
    try:
        return media.read(name)
    except MediaError:
        return None


def _table(examples: Sequence[Example], digests: Mapping[str, str]) -> pl.DataFrame:
    """Return what `find_leaks` compares; a medium without a digest is known by itself alone."""
    rows = [
        (
            e.id,
            e.group,
            e.prompt,
            list(e.media),
            [digests.get(n, f"{e.split} {n}") for n in e.media],
        )
        for e in examples
    ]
    schema = {
        "id": pl.String,
        "group": pl.String,
        "prompt": pl.String,
        "media": pl.List(pl.String),
        "media_sha256": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
