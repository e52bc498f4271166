"""`SavsClassifier` and `SavsRegressor`: images to classes or numbers, as scikit-learn has them."""

import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from savs.datasets.media.in_memory import Pictured
from savs.datasets.media.media import sha256
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.bundle.hub import find_classifier
from savs.pipeline.classifying.feature_cache import ImageHeads, not_here
from savs.pipeline.classifying.heads_classifier import NamedLabels
from savs.pipeline.classifying.model_match import is_imported, model_options, require_model
from savs.pipeline.classifying.reading_images import ReadsImages, contents_of
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.model.model_options import AUTO, ModelOptions, PlacingKeywords
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.names import shows_defaults
from savs.pipeline.readouts import Readout
from savs.pipeline.running.formatting import listed
from savs.pipeline.selection.compatibility import require_match
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import Selection, choose_heads
from savs.pipeline.selection.selection_config import model_heads
from savs.pipeline.selection.selection_file import save_selection
from savs.pipeline.targets import Target
from savs.stores.format.layout import HEADS_SITE, grid_widths, pick


class _OfImages(ReadsImages):
    """What estimators of images have in common."""

    heads: int | None
    readout: str | Path | Readout | None
    selection_: Selection

    def __init__(
        self,
        model: str | Path,
        *,
        heads: int | None = None,
        readout: str | Path | Readout | None = None,
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
        cache: str | Path | bool | None = None,
        verbose: bool = False,
    ) -> None:
        self._keep_parameters(locals())

    def _fit(self, images: Sequence[Pictured], labels: "NamedLabels") -> Self:
        """Choose heads and fit the readout; errors as in `fit`."""
        contents = contents_of(images)
        if len(labels.texts) != len(contents):
            raise ParameterError(f"there are {len(contents)} images and {len(labels.texts)} labels")
        question = self.prompt()
        heads = self.read(contents, question).whole()
        digests = [sha256(data) for data in contents]
        training = labels.training(heads.source, heads.features()[1], digests, question)
        selection = choose_heads(
            training, heads=self.heads, readout=self.readout, scoring=self.scoring
        )
        if selection.rule.calibrates or not labels.target.has_classes:
            with suppress(SelectionError):  # a class has too few different images
                selection = calibrate(training, selection).selection
        self.selection_ = selection
        return self

    def predict_sets(self, images: Sequence[Pictured], risk: float = 0.05) -> list[tuple[Any, ...]]:
        """Return for each image the labels that it may have, the likeliest first.

        At most a share `risk` of new images like the training ones have a label that is not in
        their set; a set may be empty. Conformal prediction, see `savs classify --risk`.

        Raises
        ------
        SelectionError
            The classifier is not calibrated, or predicts numbers.
        ParameterError
            The risk is not between 0 and 1.
        """
        target = self._target
        for note in target.risk_notes(self.selection_, risk):
            warnings.warn(note, stacklevel=2)
        (run,) = self.selection_.runs()
        classes = np.asarray(getattr(self, "classes_", run.classes)).tolist()
        names = dict(zip(run.classes, classes, strict=True))
        sets = []
        for said in target.said(run, self._scores(images)):
            assert said.inside is not None  # a risk needs a calibration
            sets.append(tuple(names[name] for name in said.inside(risk)))
        return sets

    def predict(self, images: Sequence[Pictured]) -> Array:
        """Return the `(n,)` labels or numbers of images; of many labels `(n, labels)` of 0 and 1.

        Raises
        ------
        ValueError
            An image cannot be decoded, or the model is not the one that was fitted.
        """
        return self._named(self._scores(images))

    def predict_features(self, features: Any) -> Array:
        """Return what `predict` does, of features that another program computed; no model runs.

        Parameters
        ----------
        features
            `(n, values)`, `(n, heads, width)` or `(n, layers, heads, width)`: all heads of
            `selection_.source.grid`, layer by layer, as `embed` returns them.

        Raises
        ------
        ParameterError
            The shape is another, a number is not finite, or the classifier also reads the model's
            own answers.
        """
        check_is_fitted(self)
        features = np.asarray(features, np.float32)
        source = replace(self.selection_.source, dtype="float32")
        count = sum(grid_widths(source.grid).values())
        if self.selection_.answers is not None:
            raise ParameterError(
                "the classifier also reads the model's own answers, which are no features"
            )
        if features.ndim < 2 or math.prod(features.shape[1:]) != count:
            raise ParameterError(
                f"`features` has the shape {features.shape}, expected (n, {count}): all heads side"
                " by side"
            )
        values = features.reshape(len(features), -1)
        if not (finite := np.isfinite(values).all(axis=1)).all():
            raise ParameterError(f"`features` of row {int(finite.argmin())} are not finite")
        return self._named(self._score(ImageHeads(source, source.grid, values)))

    def _named(self, scores: Any) -> Array:
        """Return what is predicted."""
        return self._target.values(scores)

    def __call__(self, image: Pictured) -> Any:
        """Return the label or number of one image."""
        return self.predict([image])[0]

    def save(self, folder: str | Path) -> Path:
        """Save the classifier as `select` does, and return the folder.

        `savs classify` takes it, too. Labels become text.
        """
        check_is_fitted(self)
        return save_selection(self.selection_, folder)

    @property
    def _target(self) -> Target:
        check_is_fitted(self)
        return self.selection_.target

    def _scores(self, images: Sequence[Pictured]) -> Any:
        """Return the scores of images, by the heads that the classifier needs."""
        check_is_fitted(self)
        selection, contents = self.selection_, contents_of(images)
        require_model(selection)
        question = selection.run_tasks[0].question or self.prompt()
        heads = self.read(contents, question, selection)
        require_match(selection, heads.source, allow_other_prompt=False)
        return self._score(heads.whole())

    def _score(self, heads: ImageHeads) -> Any:
        (run,) = self.selection_.runs()
        names, features = heads.features()
        return run.score(pick(features, names, run.heads)[:, :, : run.width])


@shows_defaults
class SavsClassifier(ClassifierMixin, _OfImages):
    """Few-shot classifier of images: a frozen multimodal model, and the heads that tell classes.

    An image is the path of a file, the bytes of one, a PIL image, or a uint8 array of `(height,
    width)`, `(height, width, 3)` or `(height, width, 4)`. The model is loaded when it is first
    needed, and stays in the process. Features of images are kept on the disk by content, so that
    another fit, fold or grid point runs no image again.

    Parameters
    ----------
    model
        A Hugging Face id, a local folder, or `demo`.
    heads
        How many heads to keep; None for `DEFAULT_HEADS`, or all of a model that has fewer.
    readout
        `vote`, `lda` or another built-in readout, a Python file, or a `Readout`; None for
        `DEFAULT_READOUT`.
    question
        The prompt that each image is put before, such as `"Which animal is this?"`.
    scoring
        How heads are scored: `resubstitution`, `loo`, `kfold` or `pursuit`; None for the first.
    revision, dtype, device, prompt_template, embedding, min_pixels, max_pixels
        As in `extract`.
    site
        Where features are read: `heads`, `residual`, `attention`, `mlp` or `norm`, as in `extract`.
    batch_size
        Images of a forward pass at most; None for `DEFAULT_BATCH_SIZE`.
    cache
        Folder of the features, some hundred kB per image; None for `~/.cache/savs/features`, False
        to keep none. Remove it when you like.
    verbose
        Show a progress bar while the model reads images.

    Attributes
    ----------
    classes_
        `(classes,)` labels, sorted; of many labels an image their names, or the numbers of columns.
    selection_
        The fitted `Selection`: heads, classes and readout, as `select` makes it of a store.

    Examples
    --------
    >>> images, labels = ["cat.jpg", "dog.jpg"], ["cat", "dog"]
    >>> ask = SavsClassifier("demo", question="Which animal is this?")
    >>> ask.fit(images, labels)("new.jpg")  # doctest: +SKIP
    'cat'
    """

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 - as in scikit-learn
        """Return the parameters that were given and, once fitted, the classes and the next step."""
        parameters = super().__repr__(N_CHAR_MAX)  # pyrefly: ignore[bad-argument-count]
        if not hasattr(self, "classes_"):
            return f"{parameters}\n  next: fit(images, labels)"
        names = [str(name) for name in self.classes_]
        return f"{parameters}\n  {len(names):,} classes: {listed(names)}\n  next: predict(images)"

    def fit(self, images: Sequence[Pictured], labels: Sequence[Any]) -> Self:
        """Choose heads and fit the readout on labelled images; about 20 of each class are enough.

        `labels` may be `(n, labels)` of 0 and 1, where an image may have many labels: `predict` and
        `predict_proba` then return such matrices. `sklearn.preprocessing.MultiLabelBinarizer` makes
        one of lists of names. Where each class has two different images or more, left-out ones
        calibrate it, as in `savs select`.

        Raises
        ------
        MissingExtraError
            torch and transformers are not installed.
        ValueError
            There is no question, an image cannot be decoded, numbers of images and labels differ,
            there is one class only, or the model cannot be loaded.
        """
        if labels is None:
            raise ParameterError("fit needs labels, one for each image")
        check_classification_targets(labels)
        named = NamedLabels.of(labels)
        self._fit(images, named)
        self.classes_ = named.classes
        return self

    def predict_proba(self, images: Sequence[Pictured]) -> Array:
        """Return `(n, classes)` probabilities, in the order of `classes_`.

        They are calibrated where `fit`, or the `select` of a loaded classifier, could do that.
        Otherwise they are shares of votes or scores.
        """
        scores = self._scores(images)
        return self._target.probabilities(scores, self.selection_.readout)

    def _named(self, scores: Any) -> Array:
        values = super()._named(scores)
        return self.classes_[values] if self._target.has_classes else values

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know: an image may have many labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class SavsRegressor(RegressorMixin, _OfImages):
    """Few-shot regression of images: a number of each, such as a count, an age or a quality.

    Images, the model and its features are as in `SavsClassifier`.

    Parameters
    ----------
    model, heads, question, revision, dtype, device, prompt_template, embedding, min_pixels,
    max_pixels, site, batch_size, cache, verbose
        As in `SavsClassifier`.
    readout
        `ridge`, which is the only one of numbers; None for it.
    scoring
        `kfold`, the only one of numbers; None for it.

    Attributes
    ----------
    selection_
        The fitted `Selection`, as `select` makes it of a store with `--task regression`.

    Examples
    --------
    >>> things = SavsRegressor("demo", question="How many things are there?")
    >>> things.fit(images, [1, 4, 2, 3, 5, 2])("new.jpg")  # doctest: +SKIP
    2.31
    """

    def fit(self, images: Sequence[Pictured], numbers: Sequence[float]) -> Self:
        """Choose heads and fit the regression on images with numbers, five different ones or more.

        Raises
        ------
        MissingExtraError
            torch and transformers are not installed.
        ValueError
            There is no question, an image cannot be decoded, how many images and numbers there are
            differs, a number is not finite, all are equal, or the model cannot be loaded.
        """
        return self._fit(images, NamedLabels.of_numbers(numbers))

    @property
    def predict_proba(self) -> Any:
        """Raise AttributeError: numbers have no probabilities."""
        raise AttributeError("numbers have no probabilities; `predict` returns numbers")


def load(
    classifier: str | Path,
    *,
    model: str | Path | None = None,
    question: str | None = None,
    readout: str | Path | Readout | None = None,
    device: str = AUTO,
    batch_size: int | None = None,
    cache: str | Path | bool | None = False,
) -> "SavsClassifier | SavsRegressor":
    """Return a classifier, or a regressor of numbers, that is ready to predict images.

    Its files are a JSON and a safetensors file: no file that they name is run. The model is loaded
    at the first prediction, at the revision that was recorded; a warning says first if it is not on
    this machine, so that it would be fetched from the Hugging Face hub. No layer after the deepest
    head is loaded or runs, unless there is a `cache`, which keeps all heads.

    Parameters
    ----------
    classifier
        A store, of which the default result is taken; a folder that `train`, `select`, `evaluate`
        or `write_bundle` wrote; or `hf://owner/name`, optionally followed by `@revision`. Anything
        else is a path, never a name on the hub.
    model
        Folder of the model, where it was a local one.
    question
        The prompt, where the training examples had several; else it is theirs.
    readout
        The readout, where it is the user's own.
    device, batch_size, cache
        As in `SavsClassifier`.

    Raises
    ------
    ResultError, HubError
        The classifier cannot be read, or fetched.
    SelectionError
        It has several subtasks, a model that must be given, or labels that no estimator has.
    ParameterError
        The question is not that of its training examples.

    Examples
    --------
    >>> pets = savs.load("pets")  # doctest: +SKIP
    >>> pets.predict(["new.jpg"])  # doctest: +SKIP
    array(['cat'], dtype='<U3')
    """
    selection = find_classifier(classifier).selection(readout)
    target = selection.target
    kinds = (SavsClassifier, SavsRegressor)
    able = [kind for kind in kinds if not target.refusal(kind.__name__, classifier)]
    if not able:
        target.require("SavsClassifier", classifier)
    (task, *others) = selection.run_tasks
    if others:
        selection.only_task()  # says which subtasks there are
    if None not in (question, task.question) and question != task.question:
        raise ParameterError(
            f"`question` is {question!r}, but the classifier was trained with {task.question!r},"
            " and asks that; omit the question"
        )
    if is_imported(selection):  # it predicts features
        options = ModelOptions(model=str(selection.model["name"]))
    else:
        placing: PlacingKeywords = {"device": device}
        options = model_options(selection, model=model, revision=None, dtype=None, placing=placing)
        if absent := not_here(options.model, options.revision):
            warnings.warn(absent, stacklevel=2)
    loaded = able[0](
        options.model,
        heads=len(model_heads(task.heads)),
        readout=selection.rule if selection.readout_file else selection.readout,
        question=task.question or question,
        scoring=selection.scorer if selection.scoring_file else selection.scoring,
        revision=options.revision,
        dtype=options.dtype,
        device=device,
        prompt_template=options.prompt_template,
        embedding=options.embedding,
        min_pixels=options.min_pixels,
        max_pixels=options.max_pixels,
        site=selection.source.site,
        batch_size=batch_size,
        cache=cache,
    )
    loaded.selection_ = selection
    if isinstance(loaded, SavsClassifier):
        (run,) = selection.runs()
        loaded.classes_ = np.array(run.classes)  # as text
    return loaded
