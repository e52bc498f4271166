"""How to install an extra of savs; one place says whether a package index has it."""

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
