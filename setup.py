"""What pyproject.toml cannot say: the packages by a rule, and the page that a package index shows.

The four rooms at the top are packages of `savs`. The README's relative links lead nowhere on
the page of an index. `[project.urls]` is the one place that says where the project
lies: with a `Repository`, the links lead to its files of this version, without one they are text.
"""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
ROOMS = ("pipeline", "stores", "datasets", "foundation")
FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https://|#)([^)\s]+)\)")


def index_page(readme: str, repository: str | None, version: str) -> str:
    """Return a README for a page outside its repository; blocks of code stay as they are.

    Examples
    --------
    >>> index_page("[speed](docs/guide/speed.md)", "https://host.example/savs", "1.2.3")
    '[speed](https://host.example/savs/blob/v1.2.3/docs/guide/speed.md)'
    >>> index_page("[speed](docs/guide/speed.md), [LICENSE](LICENSE)", None, "1.2.3")
    'speed (`docs/guide/speed.md`), LICENSE'
    """

    def link(found: re.Match[str]) -> str:
        text, target = found.groups()
        if repository is not None:
            return f"[{text}]({repository.rstrip('/')}/blob/v{version}/{target})"
        return text if text == target else f"{text} (`{target}`)"

    return "".join(
        piece if piece.startswith("```") else LINK.sub(link, piece) for piece in FENCE.split(readme)
    )


if __name__ == "__main__":  # the build backend runs this file as a program
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    setup(
        packages=[
            "savs",
            *(
                f"savs.{package}"
                for room in ROOMS
                for package in (room, *(f"{room}.{name}" for name in find_packages(room)))
            ),
        ],
        long_description=index_page(
            (ROOT / "README.md").read_text("utf-8"),
            project["urls"].get("Repository"),
            project["version"],
        ),
        long_description_content_type="text/markdown",
    )
