"""Stage 1 as functions: torch is imported when one of them is called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from savs.datasets import Benchmark
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import ModelKeywords, ModelOptions, require_extra
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE, RunKeywords, RunOptions
from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
from savs.pipeline.inputs.in_memory import files_of
from savs.pipeline.inputs.input_options import InputKeywords, InputOptions
from savs.pipeline.running.options import sort_keywords
from savs.pipeline.running.progress import SILENT, Reporting, bars
from savs.stores.files.addresses import find_place

if TYPE_CHECKING:
    from savs.datasets.asked import AskedQuestion
    from savs.pipeline.extraction.check_model import Checkup
    from savs.pipeline.extraction.model.loaded_model import LoadedModel
    from savs.pipeline.extraction.run_extraction import Extraction


class ExtractKeywords(InputKeywords, ModelKeywords, RunKeywords, total=False):
    """What `extract` takes in addition to the arguments that it always needs."""


def extract(
    benchmark: str | Path | Benchmark,
    *,
    model: str | Path,
    out: str | Path,
    verbose: bool = False,
    reporting: Reporting = SILENT,
    **options: Unpack[ExtractKeywords],
) -> "Extraction":
    """Run a model over a benchmark's examples and write every head's last-token features.

    A store that is there already is resumed: shards that have their file are left alone. With
    `append=True` the examples are added to those of the store.

    Parameters
    ----------
    benchmark
        Name of a benchmark, path of a Python file with a user's benchmark, or a benchmark.
    model
        A Hugging Face id, a local folder, or `demo`.
    out
        Folder of the store, or its URL in object storage.
    verbose
        Print messages and a progress bar.
    reporting
        Receives them instead.
    **options
        The fields of `InputOptions` (`train`, `test`, `shots`, `columns`, `media_root` ...), the
        others of `ModelOptions` (`revision`, `dtype`, `max_pixels` ...) and `RunOptions`
        (`batch_size`, `answers` ...). `train` and `test` may also be in memory: a polars or pandas
        frame, a Hugging Face `Dataset` or a list of dictionaries, see `Rows`.

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    DatasetError, ModelError, StoreError
        The input, the model or the store has a fault; shards that were finished before stay.
    """
    reporting = bars() if verbose else reporting
    return _extract(benchmark, model, out, reporting, options)


def follow(
    benchmark: str | Path | Benchmark,
    *,
    model: str | Path,
    out: str | Path,
    allow_removed: bool,
    reporting: Reporting,
    asked: "Sequence[AskedQuestion]" = (),
    **options: Unpack[ExtractKeywords],
) -> "Extraction":
    """As `extract`, but the given examples are all that a store has of their folder or table.

    Those that are gone stay in the store, and count no more until they come back; `allow_removed`
    says that most of them, or a class, may be gone. Examples of another source stay. `asked` are
    questions of which the log-likelihood of each answer is kept.
    """
    return _extract(
        benchmark, model, out, reporting, options, allow_removed=allow_removed, asked=asked
    )


def _extract(
    benchmark: str | Path | Benchmark,
    model: str | Path,
    out: str | Path,
    reporting: Reporting,
    options: Mapping[str, Any],
    *,
    allow_removed: bool | None = None,
    asked: "Sequence[AskedQuestion]" = (),
) -> "Extraction":
    require_extra()
    from savs.pipeline.extraction.run_extraction import run_extraction

    with files_of({**options, "model": model}) as arguments:
        inputs, loading, run = sort_keywords(
            "extract", arguments, InputOptions, ModelOptions, RunOptions
        )
        chosen = choose_benchmark(
            benchmark, columns=inputs.columns, question=inputs.question, labels=inputs.labels
        )
        place = find_place(out)
        name = None if isinstance(benchmark, Benchmark) else str(benchmark)
        return run_extraction(
            chosen,
            inputs,
            loading,
            run,
            out=place,
            reporting=reporting,
            name=name,
            allow_removed=allow_removed,
            asked=asked,
        )


def load_model(model: str | Path, **options: Unpack[ModelKeywords]) -> "LoadedModel":
    """Load a checkpoint by hub id, by folder, or the shipped one by the name `demo`.

    Parameters
    ----------
    model
        A Hugging Face id, a local folder, or `demo`.
    **options
        The other fields of `ModelOptions`.

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    ModelError
        Not found, no model with a language decoder, without a chat template, or without heads.
    """
    require_extra()
    from savs.pipeline.extraction.model_run import ModelRun

    (loading,) = sort_keywords("load_model", {**options, "model": model}, ModelOptions)
    return ModelRun(loading, RunOptions()).load()


def check_model(
    model: str | Path, batch_size: int = DEFAULT_BATCH_SIZE, **options: Unpack[ModelKeywords]
) -> "Checkup":
    """Load a model and test it on drawn scenes, in batches of 2, 4 ... up to `batch_size`.

    Parameters
    ----------
    model
        A Hugging Face id, a local folder, or `demo`.
    batch_size
        The largest batch that is compared with single examples.
    **options
        The other fields of `ModelOptions`.

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    ModelError
        The model cannot be loaded, or a scene cannot be run alone.
    """
    if batch_size < 2:
        raise ParameterError(f"`batch_size` is {batch_size}, expected at least 2")
    require_extra()
    from savs.pipeline.extraction.check_model import check_up

    (loading,) = sort_keywords("check_model", {**options, "model": model}, ModelOptions)
    return check_up(loading, batch_size)
