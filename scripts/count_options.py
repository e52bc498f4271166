"""Print the options of each command, and how many there are.

    python scripts/count_options.py

An option of `--help-all` counts as well; `--config`, `--json`, `--no-progress`, `--verbose` and
`--help-all`, which all commands take, count once.
"""

from typing import Any

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import MORE


def options_by_command() -> dict[str, list[Any]]:
    """Return command -> its options."""
    return {
        name: [
            one
            for one in import_command(name).params
            if one.param_type_name == "option" and one.name not in OF_ALL_COMMANDS
        ]
        for name in COMMANDS
    }


def main() -> None:
    """Print a line a command, then the sum."""
    options = options_by_command()
    for name, found in options.items():
        main_options = [one.opts[0] for one in found if one.rich_help_panel != MORE]
        more = [one.opts[0] for one in found if one.rich_help_panel == MORE]
        print(f"{name:10} {len(found):3}  {' '.join(main_options)} | {' '.join(more)}")
    every = [one.opts[0] for found in options.values() for one in found]
    total = len(every) + len(OF_ALL_COMMANDS)
    print(f"total      {total}, {len(set(every)) + len(OF_ALL_COMMANDS)} different")


if __name__ == "__main__":
    main()
