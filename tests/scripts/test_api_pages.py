"""The API pages are made of docstrings: each public name, field and parameter has its words."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from site_sources import PACKAGES, public_names

PUBLIC = sorted({(module, name) for package in PACKAGES for name, module in public_names(package)})


def is_text(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def assigned(node: ast.stmt) -> str | None:
    """Return the name that a statement gives a value or a type."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else None


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def lacks(node: ast.stmt, following: ast.stmt | None) -> Iterator[str]:
    """Yield what the page of a name would leave unexplained."""
    if isinstance(node, ast.FunctionDef):
        text = ast.get_docstring(node) or ""
        if not text:
            yield f"{node.name} has no docstring"
        for name in parameters(node):
            if not re.search(rf"\b{name}\b", text):
                yield f"{node.name} does not explain {name}"
    elif isinstance(node, ast.ClassDef):
        text = ast.get_docstring(node) or ""
        if not text:
            yield f"{node.name} has no docstring"
        for member, after in zip(node.body, [*node.body[1:], None], strict=True):
            name = assigned(member)
            if name and not name.startswith("_"):
                told = is_text(after) or re.search(rf"^{name}( :|,|$)", text, re.MULTILINE)
            elif isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                name, told = member.name, ast.get_docstring(member)
            else:
                continue
            if not told:
                yield f"{node.name}.{name} has no docstring"
    elif not is_text(following):
        yield f"{assigned(node)} has no docstring"


def found_lacks(source: str, name: str) -> list[str]:
    """Return what is unexplained of one name of a module."""
    body = ast.parse(source).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if name in (getattr(node, "name", None), assigned(node)):
            return list(lacks(node, after))
    raise AssertionError(f"{name} is not made in its module")


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_all_of_a_public_name_is_explained(module, name):
    whole = import_module(module)
    home = inspect.getmodule(getattr(whole, name))
    made = home if home is not None and home.__name__.startswith("savs.") else whole
    assert found_lacks(Path(str(made.__file__)).read_text("utf-8"), name) == []


def test_what_is_not_explained_would_be_found():
    source = '''
BARE = 1
TOLD = 1
"""Told."""
def f(a, *, b):
    """Use `a`."""
class C:
    """One."""
    x: int
    y: int
    """Told."""
    def go(self): ...
'''
    assert found_lacks(source, "BARE") == ["BARE has no docstring"]
    assert found_lacks(source, "TOLD") == []
    assert found_lacks(source, "f") == ["f does not explain b"]
    assert found_lacks(source, "C") == ["C.x has no docstring", "C.go has no docstring"]
