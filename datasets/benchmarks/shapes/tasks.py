"""All tasks of the benchmark by name."""

from dataclasses import dataclass

from savs.datasets.benchmarks.shapes import choices, classification, groups, statements, unseen
from savs.datasets.benchmarks.shapes.items import Ask


@dataclass(frozen=True, slots=True)
class Task:
    """One task, a subtask of the benchmark."""

    name: str
    family: str
    """classification, statement, group, pair, choice or unseen."""
    ask: Ask
    weak: bool = False
    """The demo model does badly on it; it is kept as a hard case."""


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("color", "classification", classification.color),
        Task("shape", "classification", classification.shape),
        Task("grey-shape", "classification", classification.grey_shape),
        Task("kind", "classification", classification.kind),
        Task("size", "classification", classification.size),
        Task("position", "classification", classification.position),
        Task("height", "classification", classification.height),
        Task("count", "classification", classification.count),
        Task("texture", "classification", classification.texture, weak=True),
        Task("exists", "statement", statements.exists),
        Task("binding", "statement", statements.binding),
        Task("relation", "statement", statements.relation),
        Task("composition", "statement", statements.composition),
        Task("group-exists", "group", groups.group_exists),
        Task("group-binding", "group", groups.group_binding),
        Task("group-relation", "group", groups.group_relation),
        Task("caption-replace", "pair", groups.caption_replace),
        Task("caption-swap", "pair", groups.caption_swap),
        Task("option", "choice", choices.option),
        Task("corner", "choice", choices.corner),
        Task("which-image", "choice", choices.which_image),
        Task("more-things", "choice", choices.more_things),
        Task("same-color", "choice", choices.same_color, weak=True),
        Task("odd-one-out", "choice", choices.odd_one_out, weak=True),
        Task("third-image", "choice", choices.third_image),
        Task("animal", "unseen", unseen.animal),
        Task("fruit", "unseen", unseen.fruit),
        Task("creature", "unseen", unseen.creature),
        Task("concept", "unseen", unseen.concept, weak=True),
    )
}
"""Name -> task, in the order in which they are written."""
