"""A selection on disk: config.json and classifier.safetensors.

Nothing that the files say is run: a readout is built in, or the caller gives it. The arrays are
checked before they are read.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from savs.foundation.arrays import Array
from savs.foundation.files import file_sha256, regular_size
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.scoring import saved_scoring
from savs.pipeline.readouts import (
    ADDED_READOUTS,
    BUILT_IN,
    Fitted,
    HeadsFit,
    Readout,
    choose_readout,
    find_readout,
)
from savs.pipeline.readouts.own import OwnFit
from savs.pipeline.readouts.readout import TensorForm
from savs.pipeline.running.result_files import (
    CLASSIFIER,
    CONFIG,
    SELECT,
    copy_result,
    reading,
    write_file,
    write_json,
    writing,
)
from savs.pipeline.running.user_files import OwnFile
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import (
    FORMAT,
    ConfigHeader,
    SelectionConfig,
    config_path,
    read_config,
    require_selection,
)
from savs.pipeline.targets.tasks import TaskConfig, TaskSelection
from savs.stores import ResultError
from savs.stores.format.layout import digest

HEADER_BYTES = 2**12
"""Most bytes of a header without its tensors, and of each tensor in it without its name."""
TYPES = {"float32": "F32", "int64": "I64"}
"""Type of an array -> its name in the file."""


def save_selection(selection: Selection, folder: str | Path) -> Path:
    """Write a selection to a folder and return the folder.

    classifier.safetensors has the fitted arrays, config.json everything else. Both hold `run`, the
    digest of the content: the same selection gets the same.

    SelectionError if a user's readout fitted other arrays than it declares, or numbers that are not
    finite; StoreWriteError if the folder cannot be written.
    """
    require_selection(selection)
    with writing(Path(folder)) as new:
        write_selection(selection, new)
    return Path(folder)


def write_selection(selection: Selection, folder: Path) -> dict[str, str]:
    """Do the same in the folder of a `writing` block; return the SHA-256 of each file."""
    try:
        content = selection.to_json()
        tensors = fitted_arrays(selection)
    except (AttributeError, ValueError) as error:
        raise SelectionError(
            f"readout {selection.readout!r} fitted arrays that cannot be saved: {error}"
        ) from error
    run = digest(content)
    sha256 = write_tensors(folder / CLASSIFIER, tensors, {"run": run})
    header = ConfigHeader(format=FORMAT, savs=version("savs"), run=run, sha256=sha256)
    config = write_json(folder / CONFIG, msgspec.to_builtins(header) | content)
    return {CLASSIFIER: sha256, CONFIG: config}


def load_selection(path: str | Path, *, readout: str | Path | Readout | None = None) -> Selection:
    """Read a selection that `save_selection` wrote.

    `path` is the folder, or its config.json. `readout` is the one that was fitted: needed where it
    is the user's own, by its file or as an object. ResultError if a file is not there or not as it
    was written, the two belong to different selections, or it is another readout; the message names
    the file and the field.
    """
    file = config_path(path)
    header, config = read_config(file)
    rule = _find_rule(file, config, readout)
    classifier = file.with_name(CLASSIFIER)
    tensors = read_tensors(
        classifier, array_forms(config, rule), {"run": header.run}, header.sha256
    )
    try:
        check_values(config, tensors)
        tasks = tuple(
            _load_task(number, task, rule, tensors) for number, task in enumerate(config.tasks)
        )
    except Exception as error:  # a user's readout may raise any
        raise ResultError(
            f"{classifier} cannot be read by readout {rule.name!r} ({error}); run `{SELECT}` again"
        ) from error
    scorer = saved_scoring(config.scoring, config.scoring_file, config.scoring_package)
    return Selection(**_values(config) | {"tasks": tasks, "rule": rule, "scorer": scorer})


def _load_task(
    number: int, task: TaskConfig, rule: Readout, tensors: Mapping[str, Array]
) -> TaskSelection:
    arrays = {name: tensors[f"{number}.{name}"] for name in rule.arrays}
    fitted: Fitted
    if task.pool is not None and rule.load is None:
        fitted = HeadsFit(task.pool, **arrays)
    elif task.pool is None and rule.load is not None:
        fitted = rule.load(**arrays)
    else:
        raise ValueError(f"{CONFIG} says that the pool of its fit is {task.pool!r}")
    if isinstance(fitted, OwnFit):
        fitted = replace(fitted, classes=len(task.classes))
    decision = task.decision
    if decision is not None and (axes := decision.array_axes(rule)):
        names = {name: f"{number}.decision.{name}" for name in axes}
        decision = decision.with_arrays({name: tensors[full] for name, full in names.items()})
    return TaskSelection(**_values(task) | {"fitted": fitted, "decision": decision})


def copy_selection(path: str | Path, folder: Path) -> None:
    """Copy the two files of a selection; ResultError if one is not there."""
    file = config_path(path)
    copy_result(file.with_name(CLASSIFIER), folder / CLASSIFIER)
    copy_result(file, folder / CONFIG)


def _find_rule(
    file: Path, config: SelectionConfig, readout: str | Path | Readout | None
) -> Readout:
    """Return the readout of a selection: a built-in one by its name, or the one given."""
    if readout is None and config.readout_file is None and config.readout in BUILT_IN:
        return BUILT_IN[config.readout]
    if readout is None and config.readout_package is not None:
        if config.readout not in ADDED_READOUTS.names():
            raise ResultError(
                f"{file}: readout: {config.readout!r} needs the package {config.readout_package},"
                " which is not installed; install it"
            )
        return find_readout(config.readout)
    saved = _in_words(config.readout, config.readout_file)
    if readout is None:
        raise ResultError(
            f"{file}: readout: expected a built-in one, got {saved}; files that a selection names"
            " are never run, so pass the file of the readout: `readout` FILE.py"
        )
    rule = choose_readout(readout)
    hashes = [getattr(origin, "sha256", None) for origin in (rule.file, config.readout_file)]
    if rule.name != config.readout or hashes[0] != hashes[1]:
        raise ResultError(
            f"{file}: readout: expected {_in_words(rule.name, rule.file)}, as given, got {saved};"
            f" pass the readout that it was made with, or run `{SELECT}` again"
        )
    return rule


def _in_words(name: str, file: OwnFile | None) -> str:
    return f"{name!r} of {file}" if file else f"{name!r}"


def _values(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name."""
    return {field.name: getattr(config, field.name) for field in fields(config)}


def fitted_arrays(selection: Selection) -> dict[str, Array]:
    """Return the fitted arrays; ValueError if they are not what the readout declares."""
    tensors = dict(_arrays(selection))
    fitted = {name: TensorForm(a.shape, a.dtype.name) for name, a in tensors.items()}
    declared = array_forms(selection, selection.rule)
    if fitted != declared:
        raise ValueError(f"it declares the arrays {declared}, but fitted {fitted}")
    check_values(selection, tensors)
    return tensors


def _arrays(selection: Selection) -> Iterator[tuple[str, Array]]:
    for number, task in enumerate(selection.tasks):
        for name in selection.rule.arrays:
            yield f"{number}.{name}", np.asarray(getattr(task.fitted, name))
        if task.decision is not None:
            for name in task.decision.array_axes(selection.rule):
                yield f"{number}.decision.{name}", getattr(task.decision, name)


def array_forms(config: SelectionConfig, rule: Readout) -> dict[str, TensorForm]:
    """Return the form that each tensor of a selection must have."""
    forms = {}
    for number, task in enumerate(config.tasks):
        lengths = config.lengths(task)
        forms |= {f"{number}.{name}": form for name, form in rule.forms(lengths).items()}
        if task.decision is not None:
            forms |= {
                f"{number}.decision.{name}": TensorForm(
                    tuple(lengths[axis] for axis in axes), "float32"
                )
                for name, axes in task.decision.array_axes(rule).items()
            }
    return forms


def check_values(config: SelectionConfig, tensors: Mapping[str, Array]) -> None:
    """Raise ValueError if numbers are not what they can be.

    That is finite, for class numbers those there are, and what a decision allows.
    """
    for name, array in tensors.items():
        number, _, field = name.partition(".")
        task = config.tasks[int(number)]
        classes = np.arange(len(task.classes))
        if array.dtype == np.int64 and not np.array_equal(np.unique(array), classes):
            raise ValueError(f"{name}: expected each of {len(classes)} class numbers at least once")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if task.decision is not None and field.startswith("decision."):
            task.decision.check_array(field.partition(".")[2], array)


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Write named arrays to a safetensors file and return its SHA-256."""
    content = save({name: np.asarray(a, order="C") for name, a in tensors.items()}, dict(metadata))
    return write_file(path, content)


def read_tensors(
    path: Path, forms: Mapping[str, TensorForm], metadata: Mapping[str, str], sha256: str
) -> dict[str, Array]:
    """Read what `write_tensors` wrote, after its size, header and digest were checked.

    `forms` are those of the tensors that it must hold, and no other.

    ResultError if it does not exist, is no safetensors file, or not the expected one.
    """
    with reading(path, SELECT):
        _require_size(path, forms)
        with safe_open(path, framework="numpy") as file:
            if file.metadata() != dict(metadata):
                raise ValueError(
                    f"its metadata is {file.metadata()}, expected {dict(metadata)}: it belongs to"
                    f" another selection than {CONFIG}"
                )
            _require_forms(file, forms)
            digest = file_sha256(path)
            if digest != sha256:
                raise ValueError(f"its SHA-256 is {digest}, expected {sha256} as in {CONFIG}")
            return {name: file.get_tensor(name) for name in forms}


def _require_size(path: Path, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless a file is as long as its header and the expected tensors."""
    size = regular_size(path)
    data = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms.values())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    most = HEADER_BYTES + sum(HEADER_BYTES + 8 * len(name) for name in forms)
    if header > most or size != 8 + header + data:
        raise ValueError(
            f"it has {size:,} bytes and a header of {header:,}, expected a header of at most"
            f" {most:,} and tensors of {data:,} as in {CONFIG}"
        )


def _require_forms(file: Any, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless the header of an open file declares the expected tensors."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    declared = {n: (tuple(part.get_shape()), part.get_dtype()) for n, part in slices.items()}
    expected = {name: (shape, TYPES[dtype]) for name, (shape, dtype) in forms.items()}
    for name in {**expected, **declared}:
        if declared.get(name) != expected.get(name):
            raise ValueError(
                f"tensor {name!r}: expected {expected.get(name, 'none')} as in {CONFIG},"
                f" got {declared.get(name, 'none')}"
            )
