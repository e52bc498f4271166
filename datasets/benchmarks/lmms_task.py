"""Task files of lmms-eval as `general`: columns and templates are read, functions are not run.

Source: the task guide of lmms-eval. `doc_to_visual`, `doc_to_text` and `doc_to_target` are columns,
`{{column}}` templates, or functions of a Python file, in place of which the user names a column.
"""

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.benchmarks.general import FIELDS, MEDIA, general, parse_row
from savs.datasets.errors import OptionError
from savs.datasets.row import Row
from savs.foundation.regular_files import regular_size

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 2**20
"""Largest task file."""
MAX_INCLUDES = 8
_MARK = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_WORD = re.compile(r"\w+")
_SHORT = reprlib.Repr()  # aliases make a short file a long value
_SHORT.maxstring, _SHORT.maxlevel = 200, 2
_BAD_VALUES = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for values that are not what their explicit tags say."""
KEYS = {"image": "doc_to_visual", "question": "doc_to_text", "label": "doc_to_target"}
"""Field of `general` -> key of a task."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a task names by `!function`; it is never imported."""

    name: str


def lmms_task(
    path: Path, columns: Mapping[str, str] | None = None, question: str | None = None
) -> Benchmark:
    """Return `general` with the columns and the prompt of a task file.

    Parameters
    ----------
    path
        The YAML file; `include` names another one in its folder.
    columns
        Field of `general` -> column, in place of what the file says. In place of a function for
        `question`, the task's `pre_prompt` and `post_prompt` stand around it.
    question
        The prompt of every row, in place of what the file says.

    Raises
    ------
    OptionError
        The file cannot be read, or says something by a function or a template of another form.
    """
    task, given = _read(path), dict(columns or {})
    named = {f: name for f, name in given.items() if f != "question" or question is not None}
    if not set(MEDIA) & set(given) and task.get(KEYS["image"]) is not None:
        named["image"] = _column(path, task, "image")
    if "label" not in given:
        named["label"] = _column(path, task, "label")
    found = general(named, question)
    if question is None:
        template = _template(path, task, given.get("question"))
        names = {field: named.get(field, field) for field in FIELDS}
        found = replace(
            found,
            parse_row=partial(_parse_row, columns=names, template=template),
            options={**found.options, "prompt": template},
            columns={**found.columns, **dict.fromkeys(_MARK.findall(template), "in the prompt")},
        )
    name = task.get("task") if isinstance(task.get("task"), str) else path.stem
    summary = f"the task {name} of lmms-eval, scored as general"
    return replace(found, summary=summary, about=_about(found, task))


def _parse_row(row: Row, columns: Mapping[str, str], template: str) -> Iterator[Fields]:
    prompt = _MARK.sub(lambda found: row.text(found[1]), template)
    return parse_row(row, columns=columns, question=prompt)


def _about(found: Benchmark, task: Mapping[str, Any]) -> Any:
    """Return the facts of `general`, with where the task's data set is."""
    source, split = _text(task, "dataset_path", "OWNER/NAME"), _text(task, "test_split", "test")
    files = f"--test 'hf://{source}/{_text(task, 'dataset_name', '**')}/{split}-*.parquet'"
    sample = dict.fromkeys(found.columns, "...")
    return found.about and replace(found.about, source=source, files=files, sample=sample)


def _text(values: Mapping[str, Any], key: str, default: str) -> str:
    """Return a value that is text, or the default."""
    found = values.get(key)
    return found if isinstance(found, str) else default


def _column(path: Path, task: Mapping[str, Any], field: str) -> str:
    """Return the column that a key names."""
    value = task.get(KEYS[field])
    if isinstance(value, str):
        mark = _MARK.fullmatch(value.strip())
        if mark or _WORD.fullmatch(value):
            return mark[1] if mark else value
    raise _refused(path, field, value, "a column")


def _template(path: Path, task: Mapping[str, Any], column: str | None) -> str:
    """Return the prompt with `{{column}}` in place of columns."""
    value = task.get(KEYS["question"])
    if column is not None:
        before, after = _around(task) if isinstance(value, Function) else ("", "")
        return f"{before}{{{{{column}}}}}{after}"
    if not isinstance(value, str):
        raise _refused(path, "question", value, "a column or text with {{column}} in it")
    if _WORD.fullmatch(value):
        return f"{{{{{value}}}}}"
    if re.search(r"\{\{|\{%|\{#", _MARK.sub("", value)):
        raise _refused(path, "question", value, "text with {{column}} in it and no other Jinja")
    return value.removesuffix("\n")


def _around(task: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a task puts around its question for models without settings of their own."""
    own = task.get("lmms_eval_specific_kwargs") or task.get("model_specific_prompt_kwargs")
    default = own.get("default") if isinstance(own, dict) else None
    found = default if isinstance(default, dict) else {}
    return _text(found, "pre_prompt", ""), _text(found, "post_prompt", "")


def _refused(path: Path, field: str, value: Any, expected: str) -> OptionError:
    what = f"is {_SHORT.repr(value)}"
    if isinstance(value, Function):
        what = f"is the function {value.name!r}, which is code and is not run"
    elif value is None:
        what = "is missing"
    return OptionError(
        f"{path}: {KEYS[field]} {what}; expected {expected}: name the column that holds it with"
        f" --column {field}=NAME"
    )


def _read(path: Path, depth: int = 0) -> dict[str, Any]:
    """Return the keys of a task file, and those of the one that it includes."""
    try:
        import yaml
    except ImportError as error:
        raise OptionError(f"{path} needs PyYAML; install with: pip install pyyaml") from error

    class Loader(yaml.SafeLoader):
        """Reads plain values, and `!function` as its name."""

    Loader.add_constructor("!function", lambda _, node: Function(str(node.value)))
    try:
        if regular_size(path) > MAX_BYTES or depth > MAX_INCLUDES:
            raise ValueError("it is too large, or includes itself")
        found = yaml.load(path.read_text("utf-8"), Loader)  # a SafeLoader makes plain values alone
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, expected keys and values")
    except (OSError, RecursionError, yaml.YAMLError, *_BAD_VALUES) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise OptionError(f"{path} cannot be read as a task of lmms-eval: {reason}") from error
    base = found.get("include")
    if base is None:
        return found
    if not isinstance(base, str) or Path(base).name != base:
        raise OptionError(f"{path}: include is {base!r}, expected the name of a file beside it")
    return {**_read(path.with_name(base), depth + 1), **found}
