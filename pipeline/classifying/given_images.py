"""Images that a caller gives to the estimator, and their heads, from the disk or the model."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from savs.datasets.example import NATIVE
from savs.datasets.media.containers import container_of
from savs.datasets.media.in_memory import file_bytes, is_pictured
from savs.datasets.media.media import sha256
from savs.datasets.media.videos import DEFAULT_FRAMES
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.feature_cache import FeatureCache, ImageHeads
from savs.pipeline.classifying.model_match import decoding_of
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.selection.config_json import SelectionConfig


def contents_of(images: Any) -> list[bytes]:
    """Return the bytes of a list of images, see `file_bytes`.

    Raises
    ------
    ParameterError
        It is one image, or empty.
    MediaError
        One cannot be read; the error names its place in the list.
    """
    if is_pictured(images) and not (isinstance(images, np.ndarray) and _is_list(images)):
        raise ParameterError(
            "expected a list of images, got one; pass [image], or call the classifier: model(image)"
        )
    plain = (str(image) if isinstance(image, np.str_) else image for image in images)
    found = [file_bytes(image, image_name(number)) for number, image in enumerate(plain)]
    if not found:
        raise ParameterError("there are no images; pass at least one")
    return found


def image_name(number: int) -> str:
    """Return what errors call an image of a list."""
    return f"image {number}"


def _is_list(images: np.ndarray[Any, Any]) -> bool:
    """Return whether an array is of images, or of paths, and not an image itself."""
    return images.dtype != np.uint8 or images.ndim == 4


def heads_of(
    contents: Sequence[bytes],
    question: str,
    options: ModelOptions,
    run: RunOptions,
    *,
    selection: SelectionConfig | None,
    cache: str | Path | bool | None,
) -> ImageHeads:
    """Return the heads of images: those that the cache has, and the others through the model.

    torch is imported and the model is loaded only where an image is not in the cache.

    Parameters
    ----------
    contents
        Image files.
    question, options, run
        As `read_heads` takes them.
    selection
        The classifier whose layers alone are needed, and which says how media are decoded. With a
        cache all layers are read: another fit may need them.
    cache
        A folder, None for that of the user, or False for none.

    Returns
    -------
    ImageHeads
        Without a cache, images that cannot be decoded are skipped; they are called `image N`.

    Raises
    ------
    MediaError
        With a cache, an image cannot be decoded.
    """
    decoding = _training_decoding(contents) if selection is None else decoding_of(selection)

    def read(images: Mapping[str, bytes], of: SelectionConfig | None) -> ImageHeads:
        from savs.pipeline.classifying.image_heads import read_heads

        return read_heads(images, question, options, run, decoding, of)

    if cache is False:
        return read({image_name(number): data for number, data in enumerate(contents)}, selection)
    from savs.pipeline.classifying.checkpoint_state import features_key, pinned

    options = pinned(options)
    digests = [sha256(data) for data in contents]
    places = {digest: place for place, digest in enumerate(digests)}

    def compute(missing: Sequence[str]) -> ImageHeads:
        wanted = [places[digest] for digest in missing]
        return read({image_name(place): contents[place] for place in wanted}, None).whole()

    folder = _cache_folder(cache) / features_key(options, question, decoding)
    return FeatureCache(folder).get(digests, compute)


def _training_decoding(contents: Sequence[bytes]) -> dict[str, Any]:
    """Return how training media are decoded, as `decoding_of` has it: nothing without videos."""
    if not any(map(container_of, contents)):
        return {}
    return {"video": NATIVE, "video_frames": DEFAULT_FRAMES}


def _cache_folder(given: str | Path | bool | None) -> Path:
    if isinstance(given, str | Path):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "savs" / "features"
