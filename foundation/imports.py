"""Imports that wait until a name is used, the version of savs, and how an extra is installed."""

import builtins
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

DUNDER = re.compile("__.*__")


@contextmanager
def lazy_imports(namespace: dict[str, Any]) -> Iterator[None]:
    """Defer the `from ... import` lines of the block until one of their names is used.

    For the `__init__.py` of a package: `__all__` follows from the block, and so does `dir`, which
    lists nothing else. Write `name as name`: without it, type checkers take a name of a package
    with `py.typed` for an inner one. Python 3.15 has this as `lazy from ... import` (PEP 810).
    SPEC 1's `lazy_loader` takes names of the package itself only, and needs a stub.

    Parameters
    ----------
    namespace
        `globals()` of the package, which gets `__all__`, `__dir__` and `__getattr__`.
    """
    homes: dict[str, str] = {}
    original = builtins.__import__

    def note(name: str, caller: Any = None, local: Any = None, names: Any = (), *level: int) -> Any:
        if caller is not namespace:  # another thread's import
            return original(name, caller, local, names, *level)
        homes.update(dict.fromkeys(names, name))
        return SimpleNamespace(**dict.fromkeys(names))

    builtins.__import__ = cast("Any", note)
    try:
        yield
    finally:
        builtins.__import__ = original
    for name in homes:
        del namespace[name]

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        namespace[name] = getattr(import_module(homes[name]), name)
        return namespace[name]

    namespace["__all__"] = sorted(homes)
    namespace["__dir__"] = lambda: sorted({*homes, *filter(DUNDER.fullmatch, namespace)})
    namespace["__getattr__"] = load


DOORS: dict[str, str] = {}
"""Name of what a room offers of a room above it -> where that is; `savs/__init__.py` fills it."""


def door(name: str) -> Any:
    """Return what `DOORS` has under a name, imported now.

    So a store has `results` for users, and the room of stores knows nothing of results.
    """
    home, _, attribute = DOORS[name].partition(":")
    return getattr(import_module(home), attribute)


def __getattr__(name: str) -> str:
    """Return `__version__`, which takes 20 ms to find out, when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("savs")


IS_ON_INDEX = False
"""Whether `pip install savs` finds this project. Set it with the first upload of a release."""


def install_command(extra: str) -> str:
    """Return how to install an extra, as a message says it.

    Examples
    --------
    >>> install_command("extract")
    "pip install '.[extract]' in a copy of the repository, or pip install 'WHEEL[extract]'"
    """
    if IS_ON_INDEX:
        return f"pip install 'savs[{extra}]'"
    return f"pip install '.[{extra}]' in a copy of the repository, or pip install 'WHEEL[{extra}]'"
