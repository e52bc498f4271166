"""Which prompts an image is put to: those of the classifier, or those of the user."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from savs.datasets import Example, RowError
from savs.datasets.example import of_subtask, split_prompt
from savs.datasets.row import Row
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.selection_config import SelectionConfig, TaskConfig

FIELDS = ("id", "image", "images", "question", "subtask")
"""Fields of a row that are read, each from a column of its name unless the user maps it."""


@dataclass(slots=True)
class Questions:
    """Makes examples of rows, one for each subtask of the classifier."""

    config: SelectionConfig
    question: str | None
    """Given by the user for all rows."""
    subtask: str | None
    """Given by the user for rows without one."""
    _seen: dict[tuple[str, str | None], str] = field(default_factory=dict)
    """Id and subtask of each example -> its file and row."""

    def has(self, identifier: str) -> bool:
        """Return whether a row had this id."""
        return any((identifier, task.subtask) in self._seen for task in self.config.tasks)

    def examples(self, row: Row, columns: Mapping[str, str]) -> Iterator[Example]:
        """Yield the examples of a row, one for each of its subtasks.

        Without a subtask, its own or the user's, an image is put to all of them. The prompt is that
        of the row, of the user, or of the classifier.

        Parameters
        ----------
        row
            A row.
        columns
            Field -> the column that holds it.

        Raises
        ------
        RowError
            The row names no medium or an unknown subtask, has no prompt, or an id that is taken.
        """
        media = row.names(columns["image"], columns["images"])
        if not media:
            raise row.error(
                f"field {columns['image']!r} names no image",
                f"the row has the fields {', '.join(map(str, row.values)) or 'none'}",
            )
        own = row.optional(columns["question"]) or self.question
        for task in self._tasks(row, columns):
            prompt = own or task.question
            if prompt is None:
                raise self._no_prompt(row, task)
            identifier = row.optional(columns["id"]) or row.id
            key = (identifier, task.subtask)
            if key in self._seen:
                raise RowError(
                    f"{row.where}: id {identifier!r} is taken by {self._seen[key]}; ids must be"
                    " unique over all inputs: rename one, or classify the files one by one"
                )
            try:
                split_prompt(prompt, len(media))
            except ValueError as error:
                raise row.error(str(error), "give one image for each mark in the prompt") from error
            index = len(self._seen)
            self._seen[key] = row.where
            yield Example(
                id=identifier,
                split="test",
                index=index,
                label=None,
                prompt=prompt,
                media=media,
                subtask=task.subtask,
            )

    def _tasks(self, row: Row, columns: Mapping[str, str]) -> list[TaskConfig]:
        """Return the subtasks that a row is put to."""
        name = row.optional(columns["subtask"]) or self.subtask
        names = [task.subtask for task in self.config.tasks]
        if name is None:
            return list(self.config.tasks)
        found = [task for task in self.config.tasks if task.subtask == name]
        if not found:
            raise row.error(
                f"the classifier has no subtask {name!r}",
                f"its subtasks are {', '.join(filter(None, names)) or 'none'}",
            )
        return found

    def _no_prompt(self, row: Row, task: TaskConfig) -> SelectionError:
        where = of_subtask(task.subtask)
        return SelectionError(
            f"{row.where} has no question, and the training examples{where} had several, so that"
            " the classifier has none of its own; pass --question TEXT, a table with a column"
            " 'question', or another --subtask"
        )
