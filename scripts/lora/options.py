"""How an adapter is made and trained."""

from dataclasses import dataclass

from savs.foundation.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """How an adapter is made and trained.

    Raises
    ------
    ParameterError
        A value is out of its range.
    """

    rank: int = 16
    alpha: float = 32.0
    """Updates are scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the linear modules that get an adapter."""
    vision: bool = False
    """Give the vision tower and the connector adapters, too; they are frozen otherwise."""
    dropout: float = 0.0
    epochs: int = 3
    batch_size: int = 4
    """Examples of a step, of each process."""
    learning_rate: float = 2e-4
    """At the first step; it falls to 0 along a line."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.dropout < 1:
            raise ParameterError(f"dropout is {self.dropout}, expected 0 or more and below 1")
        if not self.targets:
            raise ParameterError("targets is empty, expected names of linear modules")
