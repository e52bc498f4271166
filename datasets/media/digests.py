"""Digests of media: equal content has an equal digest, whatever its name."""

from collections.abc import Iterable

from savs.datasets.errors import MediaError
from savs.datasets.example import Example
from savs.datasets.media.media import MediaFolder, sha256


def media_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all media, each once, in order of first use."""
    return list(dict.fromkeys(name for example in examples for name in example.media))


def digests_of(names: Iterable[str], media: MediaFolder) -> dict[str, str]:
    """Return name -> SHA-256 of the media that can be read."""
    return {name: digest for name, (digest, _) in contents_of(names, media).items()}


def contents_of(names: Iterable[str], media: MediaFolder) -> dict[str, tuple[str, int]]:
    """Return name -> SHA-256 and size in bytes of the media that can be read."""
    return {name: (sha256(data), len(data)) for name in names if (data := _read(media, name))}


def _read(media: MediaFolder, name: str) -> bytes | None:
    try:
        return media.read(name)
    except MediaError:
        return None
