"""The architectures that work, and the test of a checkpoint, also against a store."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import ModelKeywords
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.names import shows_defaults
from savs.pipeline.running.option_texts import parse_against, parse_model
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.stores import open_store
from savs.stores.errors import ResultError

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline.extraction.check_model import Checkup


@shows_defaults
def models(
    model: Annotated[
        str | None,
        Option(metavar="[CHECKPOINT]", parse=parse_model, fills={"revision": "ID@REVISION"}),
    ] = None,
    *,
    against: Annotated[
        str | None,
        Option(
            metavar="STORE|RESULT", parse=parse_against, fills={"selection": "STORE/results/NAME"}
        ),
    ] = None,
    media_root: Annotated[str | None, Option(metavar="DIR")] = None,
    ask: Annotated[Sequence[str] | None, Option(metavar="INPUT", is_repeated=True)] = None,
    question: Annotated[str | None, Option(metavar="TEXT")] = None,
    classes: Annotated[
        Sequence[str] | None, Option(metavar="NAME", is_repeated=True, name="class")
    ] = None,
    selection: Annotated[str | None, Option(level="python")] = None,
    reporting: Reporting = SILENT,
    **loading: Unpack[ModelKeywords],
) -> "dict[str, Any] | Checkup | pl.DataFrame":
    """Return the architectures and how they were tested, or the test of a checkpoint.

    With `ask` that is a frame, see `answers_each_way`.

    Parameters
    ----------
    model
        Hugging Face id, folder, or demo: test it.
    against
        Compare with a store instead: run some of its examples, and compare the predictions of its
        classifier, or of a result such as STORE/results/vote.
    media_root
        Folder of the store's images, with `against`.
    ask
        Ask about ten of these images instead, by labels, letters and numbers; repeatable.

        Images, folders, and patterns.
    question
        What is asked about them, with `ask`.
    classes
        A possible answer, with `ask`; repeat it for each (default: Yes and No).
    selection
        Classifier to compare with: a name in STORE/results, or a folder (default: trained,
        `DEFAULT_READOUT`, or the only one).
    """
    if ask is None and (question, classes) != (None, None):
        name = "question" if classes is None else "classes"
        raise ParameterError(f"`{name}` is for `ask`; add it")
    if model is None:
        if ask is not None:
            raise ParameterError("`ask` asks a model; pass one, such as demo")
        families = files("savs.pipeline.extraction").joinpath("families.json")
        return json.loads(families.read_text("utf-8"))
    if ask is not None:
        if against is not None:
            raise ParameterError("`ask` and `against` are two tests; pass one")
        from savs.pipeline.classifying.asking import YES_NO, answers_each_way

        asked: dict[str, Any] = {"model": model, "reporting": reporting, **loading}
        return answers_each_way([*ask], question or "", classes or YES_NO, **asked)
    if against is None:
        if media_root:
            raise ParameterError("`media_root` is for `against`; add it")
        from savs.pipeline.extraction.entry_points import check_model

        reporting.say(f"loading {model}")
        return check_model(model, **loading)
    require_media_root(media_root)
    from savs.pipeline.classifying.store_match import compare_with_store
    from savs.pipeline.evaluation.results import Results

    store = open_store(against)
    try:
        classifier = Results(store.path).find(selection).selection()
    except ResultError:
        if selection is not None:
            raise
        classifier = None
    return compare_with_store(
        model,
        store,
        media_root=media_root,
        selection=classifier,
        reporting=reporting,
        **loading,
    )
