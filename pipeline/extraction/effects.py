"""What the options of stage 1 do to a store, each written once: at its field.

A field of `ModelOptions` or `RunOptions` is annotated with an `Effect` if it differs from the
default. What a store is compared by, the keys of caches, the command that a run records, and what
vLLM refuses are derived from these.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, Literal, get_type_hints

VALUE, DERIVED, NOTHING = "value", "derived", "nothing"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a field changes, and where it is kept."""

    features: Literal["value", "derived", "nothing"] = VALUE
    """How a store's identity knows the field: its `value`, if it is not the default, which a
    classifier then hands on to later runs; what was `derived` from it, such as the digest of a
    file, see `identity.py`; or not, as the field changes `nothing` in features."""
    is_recorded: bool = True
    """Whether a run records the field for the command that a report shows. Not what changes nothing
    in a store, what its identity has, or what may hold a secret."""
    is_for_vllm: bool = True
    """Whether a model that vLLM runs takes it, too; else it is refused there."""


@cache
def effects_of(kind: Any) -> dict[str, Effect]:
    """Return each field of options of a kind -> its effect."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: next(
            (e for e in getattr(hint, "__metadata__", ()) if isinstance(e, Effect)), Effect()
        )
        for name, hint in hints.items()
    }


def changed_fields(options: Any) -> Iterator[tuple[str, Any, Effect]]:
    """Yield name, value and effect of each field that is not the default."""
    effects = effects_of(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, value, effects[field.name]


def fields_in_identity(kind: Any) -> list[str]:
    """Return the fields whose value the identity of a store has, if they are not the default."""
    return [name for name, effect in effects_of(kind).items() if effect.features == VALUE]


def values_in_identity(options: Any) -> dict[str, Any]:
    """Return the values of these fields."""
    named = fields_in_identity(type(options))
    return {name: value for name, value, _ in changed_fields(options) if name in named}
