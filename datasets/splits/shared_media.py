"""Media by content, which are read here: their digests, and the examples that share them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.example import Example
from savs.datasets.media.media import MediaFolder, content_digest, sha256
from savs.datasets.splits.clusters import group_tie
from savs.datasets.splits.leaks import Leaks, find_leaks
from savs.datasets.windows import clip_of


def media_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all media, each once, in order of first use."""
    return list(dict.fromkeys(name for example in examples for name in example.media))


def picture_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all media that are not read as sounds, as `media_names` does."""
    media = (
        (name, is_sound) for e in examples for name, is_sound in zip(e.media, e.sounds, strict=True)
    )
    return list(dict.fromkeys(name for name, is_sound in media if not is_sound))


def has_sounds(splits: Mapping[str, Sequence[Example]]) -> bool:
    """Return whether some media of some split are sounds."""
    return any(any(example.sounds) for rows in splits.values() for example in rows)


def contents_of(names: Iterable[str], media: MediaFolder) -> dict[str, tuple[str, int]]:
    """Return name -> SHA-256 and size in bytes of the media that can be read, each file once."""
    files: dict[str, tuple[str, int]] = {}
    contents = {}
    for name in names:
        with suppress(MediaError):
            if (clip := clip_of(name)) not in files:
                data = media.read(clip)
                files[clip] = sha256(data), len(data)
            whole, size = files[clip]
            contents[name] = content_digest(whole, name), size
    return contents


def digests_of(names: Iterable[str], media: MediaFolder) -> dict[str, str]:
    """Return name -> SHA-256 of the media that can be read."""
    return {name: digest for name, (digest, _) in contents_of(names, media).items()}


def recurring_digests(examples: Sequence[Example], media: MediaFolder) -> dict[str, str]:
    """Return name -> SHA-256 of the media whose size is not unique; no others are read."""
    names = media_names(examples)
    sizes = {clip: media.size(clip) for clip in dict.fromkeys(map(clip_of, names))}
    often = Counter(sizes.values())
    recurring = {clip for clip, size in sizes.items() if size is not None and often[size] > 1}
    return digests_of((name for name in names if clip_of(name) in recurring), media)


def content_ties(examples: Sequence[Example], digests: Mapping[str, str]) -> list[list[str]]:
    """Return what ties each example to others, for `cluster_ids`: its group, its media by content.

    `digests` are those of `recurring_digests`; a medium without one is compared by name. Examples
    without media are tied by their prompt.
    """
    return [
        [
            *group_tie(e.group),
            *([f"medium {digests.get(n, n)}" for n in e.media] or [f"prompt {e.prompt}"]),
        ]
        for e in examples
    ]


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
