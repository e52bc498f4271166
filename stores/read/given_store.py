"""Whether what a caller passes as a store is one that is open."""

from typing import Any

from savs.foundation.errors import ParameterError
from savs.stores.read.store import FeatureStore


def require_store(store: Any) -> None:
    """Check an argument of a public function.

    Raises
    ------
    ParameterError
        It is no open store, but its path, for example.
    """
    if not isinstance(store, FeatureStore):
        raise ParameterError(
            f"store is {store!r:.100}, expected an open store; pass open_store(PATH)"
        )
