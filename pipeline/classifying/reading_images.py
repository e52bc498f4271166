"""Images that a program has, as scikit-learn has them: what estimators of images read them with."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from savs.datasets.example import split_prompt
from savs.datasets.media.in_memory import file_bytes, is_pictured
from savs.datasets.media.media import sha256
from savs.datasets.media_kinds.catalogue import (
    KINDS,
    kind_of_content,
)
from savs.datasets.media_kinds.decoders.containers import container_of
from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.foundation.errors import ParameterError
from savs.foundation.file_digests import cache_folder
from savs.pipeline.classifying.feature_cache import (
    MEMORY,
    FeatureCache,
    ImageHeads,
    features_key,
    pinned,
)
from savs.pipeline.classifying.model_match import decoding_of, recorded_values
from savs.pipeline.extraction.model.model_options import (
    ModelOptions,
    require_extra,
    with_recipe,
)
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.running.progress import SILENT, bars
from savs.pipeline.selection.selection import Selection


class ReadsImages(BaseEstimator):
    """An estimator that puts images through a model, and how it reads them.

    Its parameters are those of `SavsClassifier` that say which model, and how.
    """

    question: str | None
    scoring: str | Path | Scoring | None
    site: str
    batch_size: int | None
    cache: str | Path | bool | None
    verbose: bool
    _keeps_in_memory: ClassVar[bool] = False
    """Whether features stay in the memory of the process, for another fit of the same images."""

    def _keep_parameters(self, given: Mapping[str, Any]) -> None:
        """Keep the arguments of the constructor by name, as scikit-learn asks for."""
        self.__dict__.update({name: value for name, value in given.items() if name != "self"})

    def prompt(self) -> str:
        """Return the prompt of all images; ParameterError without one, or with several marks."""
        if not self.question:
            raise ParameterError(
                "question is missing; pass the prompt that each image is put before, such as"
                " question='Which animal is this?'"
            )
        try:
            split_prompt(self.question, 1)
        except ValueError as error:
            raise ParameterError(f"question {self.question!r} has {error}; keep one mark") from None
        return self.question

    def read(
        self, contents: Sequence[bytes], question: str, selection: Selection | None = None
    ) -> ImageHeads:
        """Return the heads of image files: those that the cache has, others through the model.

        torch is imported and the model is loaded only where an image is not in the cache. With a
        cache all layers are read, since another fit may need them; without, those that a
        `selection` needs. It also says how media are decoded, and has options of its model that no
        parameter sets.

        Images that cannot be decoded are skipped without a cache, and called `image N`; with one,
        MediaError.
        """
        require_extra()
        loading = {field.name for field in fields(ModelOptions)}
        values = {n: value for n, value in self.get_params(deep=False).items() if n in loading}
        if selection is not None:
            values = recorded_values(selection.source.model) | values
        options = with_recipe(ModelOptions(**values))
        run = RunOptions(batch_size=self.batch_size, site=self.site)
        reporting = bars() if self.verbose else SILENT
        decoding = (
            _training_decoding(contents, question) if selection is None else decoding_of(selection)
        )
        if "window_ms" in decoding and any(map(container_of, contents)):
            raise ParameterError(
                "the classifier belongs to windows of videos, not to whole ones; pass videos to"
                " `savs.classify`, which divides them"
            )

        def read(images: Mapping[str, bytes], of: Selection | None) -> ImageHeads:
            from savs.pipeline.classifying.image_heads import read_heads

            return read_heads(images, question, options, run, decoding, of, reporting)

        has_answers = selection is not None and selection.answers is not None  # of no cache
        if has_answers or (self.cache is False and not self._keeps_in_memory):
            return read({image_name(n): data for n, data in enumerate(contents)}, selection)

        options = pinned(options)
        digests = [sha256(data) for data in contents]
        places = {name: place for place, name in enumerate(digests)}

        def compute(missing: Sequence[str]) -> ImageHeads:
            wanted = [places[name] for name in missing]
            return read({image_name(place): contents[place] for place in wanted}, None).whole()

        cache, key = self.cache, features_key(options, question, decoding, run.sites)
        caches = Path(cache) if isinstance(cache, str | Path) else cache_folder() / "features"

        def kept(wanted: Sequence[str]) -> ImageHeads:
            return (
                compute(wanted)
                if cache is False
                else FeatureCache(caches / key).get(wanted, compute)
            )

        return MEMORY.get(key, digests, kept) if self._keeps_in_memory else kept(digests)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know: a row of `X` is an image, not a row of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


def contents_of(images: Any) -> list[bytes]:
    """Return the bytes of a list of images, see `file_bytes`; or of the column of a table.

    ParameterError if it is one image, or empty, or a table of several columns; MediaError, with the
    place in the list, if one cannot be read.
    """
    images = _one_column(images)
    is_list = isinstance(images, np.ndarray) and (images.dtype != np.uint8 or images.ndim == 4)
    if is_pictured(images) and not is_list:  # other arrays are an image themselves
        raise ParameterError(
            "expected a list of images, got one; pass [image], or call the classifier: model(image)"
        )
    plain = (str(image) if isinstance(image, np.str_) else image for image in images)
    contents = [file_bytes(image, image_name(number)) for number, image in enumerate(plain)]
    if not contents:
        raise ParameterError("there are no images; pass at least one")
    return contents


def _one_column(images: Any) -> Any:
    """Return the values of the one column of a table, of pandas or polars, or of a matrix."""
    if (columns := getattr(images, "columns", None)) is not None:
        if len(columns) != 1:
            names = ", ".join(map(str, columns))
            raise ParameterError(f"expected one column of images, got {len(columns)}: {names}")
        images = images[columns[0]]
    if hasattr(images, "to_list"):  # a column of either library
        return images.to_list()
    is_matrix = isinstance(images, np.ndarray) and images.ndim == 2 and images.dtype.kind in "OU"
    return images[:, 0] if is_matrix and images.shape[1] == 1 else images


def image_name(number: int) -> str:
    """Return what errors call an image of a list."""
    return f"image {number}"


def _training_decoding(contents: Sequence[bytes], question: str) -> dict[str, Any]:
    """Return how training media are decoded, as `decoding_of` has it: nothing for images."""
    marked = {kind for kind in KINDS if kind.column != IMAGE_COLUMN and kind.mark in question}
    seen = {kind for kind in map(kind_of_content, contents) if kind.column == IMAGE_COLUMN}
    facts: dict[str, Any] = {}
    for kind in KINDS:
        facts |= kind.facts(Decoding(), is_there=kind in (marked or seen), options=())
    return facts
