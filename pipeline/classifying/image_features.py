"""`SavsFeatures` and `embed`: images to numbers, for any estimator of scikit-learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from savs.datasets.media.in_memory import Pictured
from savs.datasets.media.media import sha256
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.feature_cache import ImageHeads
from savs.pipeline.classifying.heads_classifier import NamedLabels
from savs.pipeline.classifying.reading_images import ReadsImages, contents_of
from savs.pipeline.extraction.model.model_options import AUTO
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.selection.selection import Heads, choose_heads, parse_heads
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores import Head, HeadNotFoundError, head_name
from savs.stores.format.layout import HEADS_SITE, grid_widths, holder


class SavsFeatures(TransformerMixin, ReadsImages):
    """Features of images from a frozen multimodal model, as a transformer of scikit-learn.

    A row of `X` is an image, see `SavsClassifier`; a pandas or polars table of one column will do.
    Features stay in the memory of the process by content, and on the disk with a `cache`, so that
    other folds, grid points and fits run no image again.

    Parameters
    ----------
    model
        A Hugging Face id, a local folder, or `demo`.
    heads
        Which heads: None for all; a number for the best ones, which `fit` chooses by the labels of
        its own rows; a text such as `L12.H7,L3.H0`, pairs `(layer, head)`, or a selection or its
        folder for these.
    question
        The prompt that each image is put before.
    scoring
        How heads are scored, as in `select`.
    revision, dtype, device, prompt_template, embedding, min_pixels, max_pixels, site, batch_size,
    verbose
        As in `SavsClassifier`.
    cache
        Folder of the features; None for `~/.cache/savs/features`, False, the default, for memory
        alone.

    Attributes
    ----------
    heads_
        The heads that are read, as `(layer, head)`; chosen ones best first.

    Examples
    --------
    >>> features = SavsFeatures("demo", heads=20, question="Which animal is this?")
    >>> make_pipeline(features, StandardScaler(), LogisticRegression())  # doctest: +SKIP
    """

    _keeps_in_memory: ClassVar[bool] = True
    heads: Heads | None

    def __init__(
        self,
        model: str | Path,
        *,
        heads: Heads | None = None,
        question: str | None = None,
        scoring: str | Path | Scoring | None = None,
        revision: str | None = None,
        dtype: str = AUTO,
        device: str = AUTO,
        prompt_template: str | Path | None = None,
        embedding: str | Path | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        site: str = HEADS_SITE,
        batch_size: int | None = None,
        cache: str | Path | bool | None = False,
        verbose: bool = False,
    ) -> None:
        self._keep_parameters(locals())

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - as scikit-learn calls it
        """Read the images, and choose heads if their number is given.

        Raises
        ------
        MissingExtraError
            torch and transformers are not installed.
        ValueError
            There is no question, an image cannot be decoded, the model cannot be loaded or has no
            such head; or heads are to be chosen without labels, or by labels of one class.
        """
        contents = contents_of(X)
        read = self.read(contents, self.prompt()).whole()
        widths, wanted = grid_widths(read.grid), parse_heads(self.heads)
        if isinstance(wanted, tuple | SelectionConfig):
            given = wanted if isinstance(wanted, tuple) else [*map(holder, wanted.heads)]
            if absent := [head for head in given if head not in widths]:
                raise HeadNotFoundError(f"the model has no head {head_name(absent[0])}")
            self.heads_ = list(dict.fromkeys(given))
        elif wanted is None or wanted == "all":
            self.heads_ = [*widths]
        else:
            self.heads_ = self._chosen(contents, read, y, wanted)
        self._widths = [widths[head] for head in self.heads_]
        return self

    def _chosen(
        self, contents: Sequence[bytes], read: ImageHeads, y: Any, count: int
    ) -> list[Head]:
        """Return the best heads by the labels of some images."""
        if y is None:
            raise ParameterError(
                f"`heads` is {count}, which are chosen by labels; pass y, or name the heads"
            )
        is_numbers = type_of_target(y) == "continuous"
        labels = NamedLabels.of_numbers(y) if is_numbers else NamedLabels.of(y)
        digests = [sha256(data) for data in contents]
        training = labels.training(read.source, read.features()[1], digests)
        return list(choose_heads(training, heads=count, scoring=self.scoring).heads)

    def transform(self, X: Any) -> Array:  # noqa: N803
        """Return `(n, features)` float32: the heads side by side, in the order of `heads_`."""
        check_is_fitted(self)
        read = self.read(contents_of(X), self.prompt()).whole()
        names, features = read.features()
        places = [names.index(head) for head in self.heads_]
        parts = [features[place, :, :d] for place, d in zip(places, self._widths, strict=True)]
        return np.concatenate(parts, axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the name of each column: head and component, such as `L12.H7.0`."""
        check_is_fitted(self)
        pairs = zip(self.heads_, self._widths, strict=True)
        names = [f"{head_name(head)}.{number}" for head, d in pairs for number in range(d)]
        return np.array(names, dtype=object)


def embed(
    images: Sequence[Pictured],
    *,
    model: str | Path,
    question: str,
    heads: Heads | None = None,
    site: str = HEADS_SITE,
    cache: str | Path | bool | None = False,
    **options: Any,
) -> Array:
    """Return features of images, `(n, features)` float32, from one pass of a model.

    Parameters
    ----------
    images
        Paths, bytes, PIL images or uint8 arrays, or a table of one column of these.
    model
        A Hugging Face id, a local folder, or `demo`.
    question
        The prompt that each image is put before.
    heads
        None for all heads, layer by layer; or those of a text such as `L12.H7,L3.H0`, pairs
        `(layer, head)`, or a selection or its folder.
    site
        Where features are read: `heads`, `residual`, `attention`, `mlp` or `norm`.
    cache
        A folder that keeps features by content, or None for `~/.cache/savs/features`.
    **options
        Other parameters of `SavsFeatures`: `dtype`, `device`, `batch_size` ...

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    ValueError
        An image cannot be decoded, the model cannot be loaded, or has no such head.

    Examples
    --------
    >>> savs.embed(["a.jpg"], model="demo", question="What is this?").shape  # doctest: +SKIP
    (1, 384)
    """
    features = SavsFeatures(
        model, heads=heads, question=question, site=site, cache=cache, **options
    )
    return features.fit_transform(images)
