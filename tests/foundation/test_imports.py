"""Names that a package shows and imports when they are used."""

import builtins
import sys

import pytest

from savs.foundation import imports
from savs.foundation.imports import install_command, lazy_imports

SOURCE = """
import sys
from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from wave import Error as Error, open as open
    from nowhere.at_all import Thing as Thing
"""


@pytest.fixture
def window(monkeypatch):
    """Return the names of a package with lazy imports."""
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    names = {"__name__": "window"}
    exec(SOURCE, names)
    return names


def test_a_name_is_imported_when_it_is_used(window):
    assert "wave" not in sys.modules
    assert window["__all__"] == ["Error", "Thing", "open"]
    assert "Error" not in window
    shown = [name for name in window["__dir__"]() if not name.startswith("__")]
    assert shown == window["__all__"]  # neither `sys` nor `lazy_imports`
    assert window["__getattr__"]("Error") is sys.modules["wave"].Error
    assert window["Error"] is sys.modules["wave"].Error  # no second look-up


def test_a_name_that_is_not_there_is_told_as_python_does(window):
    with pytest.raises(AttributeError, match="module 'window' has no attribute 'Nothing'"):
        window["__getattr__"]("Nothing")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        window["__getattr__"]("Thing")


def test_imports_of_other_modules_go_on_meanwhile():
    before = builtins.__import__
    with lazy_imports({"__name__": "window"}):
        from wave import Error
    assert issubclass(Error, Exception)
    assert builtins.__import__ is before


def test_an_extra_is_installed_from_the_index_once_it_is_there(monkeypatch):
    monkeypatch.setattr(imports, "IS_ON_INDEX", True)
    assert install_command("extract") == "pip install 'savs[extract]'"
    assert not hasattr(imports, "nothing")
