"""Pictures of a page, small JPEGs inside it: of a medium, and of examples within a limit.

An image of the media root is shown only if it has the content that the model read; without a media
root, the store's thumbnails are shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from savs.datasets import MediaError
from savs.datasets.media.clips import Clips
from savs.datasets.media.media import MediaFolder, MediaRules, decode_file, digest_of
from savs.datasets.media_kinds.catalogue import Decoded, kind_of, pictures_in
from savs.datasets.media_kinds.decoders.images import thumbnail, upright_size
from savs.datasets.media_kinds.medium import Player
from savs.datasets.parts import is_window
from savs.datasets.rows.boxes import box_of
from savs.foundation.errors import SavsError
from savs.stores import FeatureStore
from savs.stores.format.layout import THUMBNAIL_COLUMN

LEAST_PX = 120
"""Smallest width of a caption."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One scaled image, or a placeholder for one that cannot be shown."""

    name: str
    width: int
    """Size of the original image in pixels."""
    height: int
    jpeg: bytes
    """Empty if it cannot be read."""
    side: int
    """Largest width and height on the page, in pixels."""
    frame: str = ""
    """`frame 2 of 8` where it comes from a video."""
    place: int = 0
    """Number of the image among all of its example, from 0: not all of them are on the page."""
    player: Player | None = None
    """What plays the medium; None for images."""

    @property
    def size(self) -> str:
        """The size of the medium for a caption."""
        if self.player is not None:
            return self.player.length
        return f"{self.width} \u00d7 {self.height} px"

    @property
    def shown_width(self) -> int:
        """Width on the page, in pixels."""
        return round(self.width * min(1.0, self.side / max(self.width, self.height, 1)))

    @property
    def shown_height(self) -> int:
        """Height on the page, in pixels."""
        return round(self.height * min(1.0, self.side / max(self.width, self.height, 1)))

    @property
    def caption_width(self) -> int:
        """Width of the picture with its caption, in pixels."""
        return max(self.shown_width, LEAST_PX)


def no_picture(name: str, side: int) -> Picture:
    """Return a placeholder."""
    return Picture(name, 0, 0, b"", side)


def pictures_of(name: str, decoded: Sequence[Decoded], side: int) -> list[Picture]:
    """Return the pictures of a medium: its image, each frame of a video, a sound's waveform."""
    images = pictures_in(decoded)
    player = kind_of(decoded[0]).player(decoded[0]) if decoded else None
    return [
        Picture(
            name,
            image.width,
            image.height,
            thumbnail(image, side),
            side,
            f"frame {place + 1} of {len(images)}" if len(images) > 1 else "",
            place,
            player,
        )
        for place, image in enumerate(images)
    ]


def pictures_of_file(data: bytes, name: str, rules: MediaRules, side: int) -> list[Picture]:
    """Return the pictures of a file; MediaError if it cannot be decoded.

    An image has the size of the file, also a JPEG that is decoded as a smaller draft.
    """
    pictures = pictures_of(name, decode_file(data, name, rules), side)
    width, height = upright_size(data)
    if len(pictures) != 1 or not width or box_of(name):
        return pictures
    return [replace(pictures[0], width=width, height=height)]


SIDE_PX = 176
"""Largest width and height of an image on the page."""
MOST_PICTURES = 4
"""Most pictures of an example."""
OTHERS = "not shown: the files differ from the ones that the model read."
MOST_BYTES = 1_900_000
"""Bytes of all images of a page; in base64 a third more."""


def thinned(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Return at most `MOST_PICTURES` pictures, evenly spaced."""
    return tuple(pictures[:: max(1, -(-len(pictures) // MOST_PICTURES))])


KnownImages = Mapping[str, tuple[Sequence[str], bytes | None]]
"""Id -> the digests of its media and its thumbnail, as the store has them."""


@dataclass(slots=True)
class Images:
    """Finds images of examples and counts what cannot be shown."""

    media: MediaFolder | Mapping[str, MediaFolder] | None
    """The media root, if it was given; or id -> that of each example."""
    known: KnownImages
    side: int = SIDE_PX
    """Largest width and height of an image on the page."""
    left: int = MOST_BYTES
    """Bytes that may still be shown."""
    changed: int = 0
    """Images that are not those that the model read."""
    missing: int = 0
    """Examples without any picture."""
    dropped: int = 0
    """Pictures that the page has no room for."""
    hint: str = "Pass `media_root` to show the images."
    """How to show images without a known file."""
    _read: dict[tuple[int, str], list[Picture]] = field(default_factory=dict)
    _clips: Clips = field(default_factory=Clips)

    def find(self, identifier: str, names: Sequence[str]) -> tuple[Picture, ...]:
        """Return the pictures of an example, or a placeholder for each medium."""
        if not names:
            return ()
        digests, small = self.known.get(identifier, ((), None))
        folder = self.media.get(identifier) if isinstance(self.media, Mapping) else self.media
        pictures: list[Picture] = []
        for place, name in enumerate(names):
            digest = digests[place] if place < len(digests) else None
            of_medium = self._medium(folder, name, digest)
            pictures += [replace(one, place=len(pictures) + one.place) for one in of_medium]
        if not any(picture.jpeg for picture in pictures) and small:
            pictures = [Picture(names[0], 0, 0, small, self.side)]
        self.missing += not any(picture.jpeg for picture in pictures)
        return tuple(self._within_limit(picture) for picture in thinned(pictures))

    def _medium(self, media: MediaFolder | None, name: str, digest: str | None) -> list[Picture]:
        if media is None:
            return [no_picture(name, self.side)]
        key = (id(media), name)
        if key not in self._read:
            self._read[key] = self._decode(media, name, digest)
        return self._read[key] or [no_picture(name, self.side)]

    def _decode(self, media: MediaFolder, name: str, digest: str | None) -> list[Picture]:
        try:
            if is_window(name):  # a file is read once for windows that follow each other
                content, video = self._clips.read(media, name)
                pictures = pictures_of(name, [video], self.side)
            else:
                data = media.read(name)
                content, rules = digest_of(data, name), replace(media.rules, outlines=True)
                is_same = digest in (None, content)
                pictures = pictures_of_file(data, name, rules, self.side) if is_same else []
        except MediaError:
            return []
        if digest not in (None, content):
            self.changed += 1
            return []
        return pictures

    def _within_limit(self, picture: Picture) -> Picture:
        size = len(picture.jpeg) + (len(picture.player.data) if picture.player else 0)
        if size > self.left:
            self.dropped += 1
            return no_picture(picture.name, self.side)
        self.left -= size
        return picture

    def notes(self) -> list[str]:
        """Return what a reader should know about the images."""
        hint = "" if isinstance(self.media, MediaFolder) else f" {self.hint}"
        lines = [
            (self.missing, "example is", "examples are", f"shown without an image.{hint}"),
            (self.changed, "image is", "images are", OTHERS),
            (self.dropped, "image is", "images are", "not shown, to keep the page small."),
        ]
        return [
            f"{count:,} {one if count == 1 else more} {text}"
            for count, one, more, text in lines
            if count
        ]


def open_images(
    store: FeatureStore | None,
    split: str,
    ids: Sequence[str],
    media_root: str | Path | None,
    *,
    side: int = SIDE_PX,
) -> Images:
    """Return the finder of some examples' images: of a video, the frames that the model read."""
    frames = None if store is None else store.manifest.identity.processor.get("video_frames")
    frames = frames if isinstance(frames, int) and frames > 0 else None
    rules = MediaRules(video_frames=frames, draft_pixels=(2 * side) ** 2)
    media = None if media_root is None else MediaFolder(Path(media_root), rules=rules)
    return Images(media, _known(store, split, ids), side)


def _known(store: FeatureStore | None, split: str, ids: Sequence[str]) -> KnownImages:
    """Return what the store has of the images; nothing if it cannot be read."""
    if store is None:
        return {}
    try:
        return known_images(store.examples(split).filter(pl.col("id").is_in(list(ids))))
    except SavsError:
        return {}


def known_images(examples: pl.DataFrame) -> KnownImages:
    """Return what examples of a store say of their images."""
    if THUMBNAIL_COLUMN not in examples.columns:
        examples = examples.with_columns(pl.lit(None, pl.Binary).alias(THUMBNAIL_COLUMN))
    rows = examples.select("id", "media_sha256", THUMBNAIL_COLUMN).iter_rows()
    return {name: (digests, thumbnail) for name, digests, thumbnail in rows}
