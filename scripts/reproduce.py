"""Make a published table again: run the commands of a recipe, and print its numbers and yours.

    python scripts/reproduce.py --list
    python scripts/reproduce.py savs-vlguard --model Qwen/Qwen2-VL-7B-Instruct --data data
    python scripts/reproduce.py savs-blink --file val='blink/*/val-*.parquet' --dry-run

A recipe is a file in `scripts/recipes/`: the commands, the files that they read, the known faults
of the published protocol that change the number, and the published numbers. Forwards and minutes
are those of `scripts/estimate_cost.py`: arithmetic for Qwen2-VL-7B on an H100, nothing measured.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimate_cost import TFLOPS, Benchmark

RECIPES = Path(__file__).with_name("recipes")
SAVS = Path(sys.executable).with_name("savs")
MODEL = "Qwen/Qwen2-VL-7B-Instruct"
UNKNOWN_TEST = 1000
"""Test examples of a cost where the size of the test set is not known."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published number."""

    model: str
    result: str
    """Name of the folder of results that has its like."""
    metric: str
    """As `savs evaluate` names it."""
    value: float
    """In per cent."""
    of: str = ""
    """What data set it is of, where the recipe is for several."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a published table again."""

    name: str
    title: str
    paper: str
    commands: tuple[str, ...]
    """Without the word `savs`; `{model}`, `{runs}` and the names of `files` are filled in."""
    files: Mapping[str, tuple[str, str]]
    """Name in the commands -> path, with `{data}` filled in, and where it comes from."""
    train: int
    test: int | None
    """Examples; None if the size of the test set is not known."""
    rows_per_image: float
    faults: tuple[str, ...]
    """What in the published protocol, or in this recipe, changes the number."""
    published: tuple[Published, ...]

    def cost(self) -> tuple[int, float]:
        """Return forwards, each prompt once, and minutes of an H100 with what images share."""
        test = UNKNOWN_TEST if self.test is None else self.test
        of = Benchmark(self.title, self.train, test, self.rows_per_image)
        shared = of.shared()[1] if self.rows_per_image > 1 else of.plain()[1]
        return of.rows, min(of.plain()[1], shared) / TFLOPS / 60

    def words(self, model: str, data: str, runs: str, files: Mapping[str, str]) -> list[list[str]]:
        """Return the words of each command."""
        paths = {name: path.replace("{data}", data) for name, (path, _) in self.files.items()}
        filled = {**paths, **files, "model": model, "runs": runs}
        return [[word.format(**filled) for word in shlex.split(line)] for line in self.commands]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; ValueError that names the field where one is missing, unknown or wrong."""
    values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    known = {"title", "paper", "train", "test", "rows_per_image", "commands", "faults", "files"}
    if odd := (set(values) - known - {"published"}) | (known - {"test"} - set(values)):
        raise ValueError(f"{path}: {sorted(odd)[0]!r} is missing or unknown")
    return Recipe(
        name=path.stem,
        title=values["title"],
        paper=values["paper"],
        commands=tuple(values["commands"]),
        files={name: (one["path"], one["source"]) for name, one in values["files"].items()},
        train=values["train"],
        test=values.get("test"),
        rows_per_image=values["rows_per_image"],
        faults=tuple(values["faults"]),
        published=tuple(Published(**one) for one in values["published"]),
    )


def all_recipes() -> dict[str, Recipe]:
    """Return name -> recipe, in order of their names."""
    return {path.stem: read_recipe(path) for path in sorted(RECIPES.glob("*.toml"))}


def print_list(recipes: Sequence[Recipe]) -> None:
    """Print what each recipe makes and costs, as Markdown."""
    print("| recipe | makes | readouts | forwards | minutes of an H100 |")
    print("| --- | --- | --- | --- | --- |")
    for one in recipes:
        forwards, minutes = one.cost()
        share = " per 1,000 test examples" if one.test is None else ""
        readouts = ", ".join(dict.fromkeys(f"`{row.result}`" for row in one.published))
        cells = (f"`{one.name}`", one.title, readouts, f"{forwards:,}{share}", f"{minutes:.1f}")
        print(f"| {' | '.join(cells)} |")


def print_plan(recipe: Recipe, commands: Sequence[Sequence[str]]) -> None:
    """Print what a run will do, and what to know of the published numbers."""
    forwards, minutes = recipe.cost()
    print(f"{recipe.title}: {recipe.paper}")
    print(f"some {forwards:,} forwards, {minutes:.1f} minutes of an H100 by arithmetic")
    for name, (path, source) in recipe.files.items():
        print(f"file  {name} = {path}  ({source})")
    for fault in recipe.faults:
        print(f"note  {fault}")
    for words in commands:
        print(f"run   savs {shlex.join(words)}")


def run_savs(words: Sequence[str]) -> int:
    """Run a command of `savs`; return its exit status."""
    return subprocess.run([SAVS, *words], check=False).returncode


def store_of(commands: Sequence[Sequence[str]]) -> Path:
    """Return the store that the first command writes."""
    first = commands[0]
    return Path(first[first.index("--out") + 1])


def print_results(recipe: Recipe, store: Path) -> None:
    """Print the published numbers with those of the store's results, in per cent, as Markdown."""
    print("| result | metric | yours | 95 % interval | published |")
    print("| --- | --- | --- | --- | --- |")
    for file in sorted((store / "results").glob("*/metrics.json")):
        rows = [row for row in recipe.published if row.result == file.parent.name]
        for metric in json.loads(file.read_text("utf-8"))["metrics"]:
            same = [row for row in rows if row.metric == metric["name"]]
            published = "; ".join(f"{row.value} ({_short(row)})" for row in same)
            ends = "-"
            if metric["low"] is not None:
                ends = f"{100 * metric['low']:.1f} .. {100 * metric['high']:.1f}"
            cells = (f"`{file.parent.name}`", metric["name"], f"{100 * metric['value']:.1f}", ends)
            print(f"| {' | '.join(cells)} | {published or '-'} |")


def _short(row: Published) -> str:
    model = row.model.rsplit("/", 1)[-1]
    return f"{model}, {row.of}" if row.of else model


def main() -> int:
    """Run a recipe; return the exit status of the command that failed, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    recipes = all_recipes()
    parser.add_argument("recipe", nargs="?", choices=recipes, metavar="RECIPE")
    parser.add_argument("--list", action="store_true", help="print all recipes with their cost")
    parser.add_argument("--model", default=MODEL, help=f"default: {MODEL}")
    parser.add_argument("--data", default="data", help="folder of the files (default: data)")
    parser.add_argument("--runs", default="runs", help="folder of the stores (default: runs)")
    parser.add_argument(
        "--file", action="append", default=[], metavar="NAME=PATH", help="another path of a file"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="read the files and estimate; write nothing"
    )
    arguments = parser.parse_args()
    if arguments.list or arguments.recipe is None:
        print_list(list(recipes.values()))
        return 0
    recipe = recipes[arguments.recipe]
    files = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in arguments.file)
    if odd := [name for name, path in files.items() if name not in recipe.files or not path]:
        parser.error(f"--file {odd[0]}: expected NAME=PATH, NAME one of {', '.join(recipe.files)}")
    commands = recipe.words(arguments.model, arguments.data, arguments.runs, files)
    print_plan(recipe, commands)
    if arguments.dry_run:
        commands = [[*words, "--dry-run"] for words in commands if words[0] == "extract"]
    for words in commands:
        if code := run_savs(words):
            print(f"stopped: savs {shlex.join(words)}", file=sys.stderr)
            return code
    if not arguments.dry_run:
        print_results(recipe, store_of(commands))
    return 0


if __name__ == "__main__":
    sys.exit(main())
