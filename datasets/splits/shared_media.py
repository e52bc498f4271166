"""Media by content, which are read here: their digests, and the examples that share them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.example import Example
from savs.datasets.media.media import MediaFolder, part_digest, sha256
from savs.datasets.parts import whole_name
from savs.datasets.rows.boxes import box_of
from savs.datasets.splits.leaks import Leaks, find_leaks


def media_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all media, each once, in order of first use."""
    return list(dict.fromkeys(name for example in examples for name in example.media))


def names_read_as(column: str, examples: Iterable[Example]) -> list[str]:
    """Return the names of all media that are read as those of a column, as `media_names` does."""
    return list(dict.fromkeys(name for example in examples for name in example.media_of(column)))


def columns_read(splits: Mapping[str, Sequence[Example]]) -> set[str]:
    """Return the columns as whose media some are read."""
    return {column for rows in splits.values() for e in rows for column in e.columns}


def has_boxes(splits: Mapping[str, Sequence[Example]]) -> bool:
    """Return whether some media of some split are boxes of images."""
    return any(box_of(name) for rows in splits.values() for e in rows for name in e.media)


def contents_of(names: Iterable[str], media: MediaFolder) -> dict[str, tuple[str, int]]:
    """Return name -> digest and size in bytes of the media that can be read, each file once."""
    contents, wholes = {}, dict[str, tuple[str, int]]()
    for name in names:
        with suppress(MediaError):
            if (whole := whole_name(name)) not in wholes:
                data = media.read(whole)
                wholes[whole] = (sha256(data), len(data))
            digest, size = wholes[whole]
            contents[name] = (part_digest(digest, name), size)
    return contents


def digests_of(names: Iterable[str], media: MediaFolder) -> dict[str, str]:
    """Return name -> digest of the media that can be read, see `digest_of`."""
    return {name: digest for name, (digest, _) in contents_of(names, media).items()}


def recurring_digests(examples: Sequence[Example], media: MediaFolder) -> dict[str, str]:
    """Return name -> digest of the media whose size is not unique; no other files are read."""
    names = media_names(examples)
    sizes = {name: media.size(name) for name in dict.fromkeys(map(whole_name, names))}
    often = Counter(sizes.values())
    wholes = {n for n, size in sizes.items() if size is not None and often[size] > 1}
    return digests_of((name for name in names if whole_name(name) in wholes), media)


def content_ties(examples: Sequence[Example], digests: Mapping[str, str]) -> list[list[str]]:
    """Return what ties each example to others, for `cluster_ids`: its group, its media by content.

    `digests` are those of `recurring_digests`; a medium without one is compared by name. Examples
    without media are tied by their prompt, and boxes by their whole image.
    """
    ties = []
    for e in examples:
        media = [f"medium {whole_name(digests.get(name, name))}" for name in e.media]
        group = [] if e.group is None else [f"group {e.group}"]
        ties.append([*group, *(media or [f"prompt {e.prompt}"])])
    return ties


def compare_splits(
    train: Sequence[Example], test: Sequence[Example], trained: MediaFolder, tested: MediaFolder
) -> Leaks:
    """Compare two splits by the content of their media; unreadable media match nothing.

    The media are in the folders `trained` and `tested`. Only those test media are read whose size
    equals that of a training medium: equal content has equal size, and a size costs no reading.
    """
    contents = contents_of(media_names(train), trained)
    digests = {name: digest for name, (digest, _) in contents.items()}
    sizes = {size for _, size in contents.values()}
    alike = (name for name in media_names(test) if tested.size(name) in sizes)
    return find_leaks(content_table(train, digests), content_table(test, digests_of(alike, tested)))


def content_table(examples: Sequence[Example], digests: Mapping[str, str]) -> pl.DataFrame:
    """Return the frame that `find_leaks` and `label_doubts` take.

    `digests` maps a medium's name to its SHA-256; a medium without one equals only itself.
    """
    texts = ("id", "subtask", "group", "prompt", "label")
    schema: dict[str, Any] = dict.fromkeys(texts, pl.String)
    schema |= {"media": pl.List(pl.String), "media_sha256": pl.List(pl.String)}
    rows = [
        (
            *(getattr(e, name) for name in texts),
            list(e.media),
            [digests.get(n, f"{e.split} {n}") for n in e.media],
        )
        for e in examples
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")
