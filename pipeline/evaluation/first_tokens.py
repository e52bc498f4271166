"""Labels that a model's first token cannot tell apart."""

from collections.abc import Iterable, Mapping


def alike(subtask: str | None, labels: Iterable[str], tokens: Mapping[str, int]) -> str | None:
    """Return why labels cannot be told apart by their first token, None where they can."""
    first: dict[int, str] = {}
    for label in labels:
        other = first.setdefault(tokens[label], label)
        if other != label:
            where = "" if subtask is None else f" of subtask {subtask!r}"
            return (
                f"labels {other!r} and {label!r}{where} begin with the same token, so the model's"
                " first token cannot tell them apart"
            )
    return None
