"""`--image-column` and the like: the names of the columns of one's own files, for any command."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

from savs.pipeline.cli.options.shared import option

COLUMNS = {
    "image": "Of general: column of the image's name.",
    "images": "Column of the lists of names.",
    "question": "Column of the prompt.",
    "label": "Column of the class.",
    "id": "Column of the example's id.",
    "group": "Column of the group.",
    "subtask": "Column of the subtask.",
    "category": "Column of the category.",
}
"""Field of `general` -> the help of its option."""
ColumnsOption = Mapping[str, str] | None
"""What a command's parameter `columns` is."""


def column_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of `COLUMNS` in place of its parameter `columns`.

    The command is called with `columns`: field -> the column that was named, those alone.
    """
    added = [
        inspect.Parameter(
            f"{field}_column",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None, option(f"--{field}-column", metavar="NAME", help=meaning)
            ],
        )
        for field, meaning in COLUMNS.items()
    ]

    @wraps(command)
    def collected(**given: Any) -> None:
        named = {field: given.pop(f"{field}_column") for field in COLUMNS}
        columns = {field: column for field, column in named.items() if column is not None}
        command(columns=columns, **given)

    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += added if parameter.name == "columns" else [keyword]
    vars(collected)["__signature__"] = inspect.Signature(parameters)
    return collected
