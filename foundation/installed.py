"""What installed packages add: the entry points of a group, such as `savs.readouts`.

The name of an entry point is the name of what it adds. A name is looked up without an import, and
one entry point alone is imported then: one that fails breaks nothing but itself.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from savs.foundation.errors import SavsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Added(Generic[T]):
    """What an entry point gives."""

    value: T
    package: Package


@dataclass(frozen=True, slots=True)
class Additions(Generic[T]):
    """One group of entry points."""

    group: str
    problem: Callable[[Any], str | None]
    """Why what an entry point gives cannot be taken, as in `is a dict, expected a Readout`."""
    built_in: Callable[[], Collection[str]]
    """The names that are taken."""
    error: type[SavsError]
    """Raised for an entry point that cannot be used."""

    def names(self) -> list[str]:
        """Return the names of the entry points, sorted; none is imported."""
        return sorted({point.name for point in entry_points(group=self.group)})

    def find(self, name: str) -> Added[T] | None:
        """Return what an entry point of this name gives; None if there is none.

        Raises
        ------
        SavsError
            Of the type `error`, if it cannot be imported, gives something else, or its name is that
            of a built-in or of another one.
        """
        points = list(entry_points(group=self.group, name=name))
        if not points:
            return None
        if len(points) > 1:
            packages = ", ".join(str(package_of(point)) for point in points)
            raise self.error(
                f"{name!r} of the group {self.group} is in several packages ({packages}); uninstall"
                " all but one"
            )
        (point,) = points
        package = package_of(point)
        where = f"the entry point {name} = {point.value} of {package} (group {self.group})"
        if name in self.built_in():
            raise self.error(f"{where} has the name of a built-in one; the package must change it")
        try:
            value = point.load()
        except (Exception, SystemExit) as error:  # whatever the package does
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise self.error(f"{where} cannot be imported ({text}); fix the package") from error
        problem = self.problem(value)
        called = getattr(value, "name", name)
        if problem is None and isinstance(called, str) and called != name:
            problem = f"is called {called!r}, expected the name of the entry point"
        if problem is not None:
            raise self.error(f"{where} {problem}; fix the package")
        return Added(value, package)

    def all(self) -> tuple[dict[str, Added[T]], dict[str, str]]:
        """Import all; return what each gives, and of those that cannot be used the reason."""
        additions, problems = dict[str, Added[T]](), dict[str, str]()
        for name in self.names():
            try:
                if (added := self.find(name)) is not None:
                    additions[name] = added
            except SavsError as error:
                problems[name] = str(error)
        return additions, problems


def kind_problem(kind: type) -> Callable[[object], str | None]:
    """Return what says why an object is none of a kind; None of one that is.

    Examples
    --------
    >>> kind_problem(int)("a")
    'is a str, expected a builtins.int'
    """

    def problem(value: object) -> str | None:
        if isinstance(value, kind):
            return None
        return f"is a {type(value).__name__}, expected a {kind.__module__}.{kind.__name__}"

    return problem


def function_problem(value: object) -> str | None:
    """Return why an object is no function; None of one."""
    return None if callable(value) else f"is a {type(value).__name__}, expected a function"


def package_of(point: EntryPoint) -> Package:
    """Return the package that has an entry point."""
    return Package(point.dist.name, point.dist.version) if point.dist else Package("?", "?")
