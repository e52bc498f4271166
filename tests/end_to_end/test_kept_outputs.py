"""What commands print and write stays as it is kept in `tests/data/outputs`.

A change that means to alter it writes the texts anew, and its author reads their diff:

    .venv/bin/python -m pytest tests/end_to_end/test_kept_outputs.py --keep-outputs
"""

import re
from pathlib import Path

import polars as pl
import pytest
from count_options import options_by_command
from kept_outputs import differences, told
from kinds_of_stores import write_trained
from output_cases import CASES
from output_inputs import write_inputs

from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.targets import TARGETS
from savs.pipeline.targets.catalogue import OWN_ANSWER

pytestmark = pytest.mark.thorough
RUN = ("images", "questions", "media", "resumed", "options")
KEPT = Path(__file__).parents[1] / "data" / "outputs"


def make_inputs(case: str, folder: Path) -> None:
    """Write what the commands of a case read."""
    if case in (*RUN, "imported"):
        write_inputs(folder / "inputs")
    elif case != "helps":
        store = write_trained(case if case in TARGETS else "one", folder / "store")
        labels = store.examples("test")["label"].to_list()
        ids = ["test:0", "test:1"]
        pl.DataFrame({"id": ids, "label": labels[1:3]}).write_csv(folder / "given.csv")
        pl.DataFrame({"id": [ids[0]] * 2, "label": labels[1:3]}).write_csv(folder / "twice.csv")
        (folder / "damaged").mkdir()
        (folder / "damaged" / "store.json").write_text('{"format": 1, "identity"')


ELSEWHERE = {
    "adapter": "test_hub.py: an adapter is trained first",
    "benchmark": "test_own_benchmarks.py",
    "engine": "test_vllm_runs.py",
    "gpus": "test_extract_workers.py: processes",
    "host": "test_app_in_a_browser.py: an app does not end",
    "port": "test_app_in_a_browser.py",
    "public": "test_upload.py: a hub is needed",
}
"""Options that some command has in no kept line -> where they run."""


def test_every_option_of_every_command_runs_here_or_elsewhere() -> None:
    used = {name: set[str]() for name in COMMANDS}
    for case, lines in CASES.items():
        for name, *words in map(str.split, lines if case != "refused" else ()):
            used.get(name, set()).update(words)
    missing = {
        (name, option.name)
        for name, options in options_by_command().items()
        for option in options
        if option.name not in {*OF_ALL_COMMANDS, *ELSEWHERE}
        and not used[name].intersection([*option.opts, *option.secondary_opts])
    }
    of_apps = {("demo", "out"), ("app", "media_root"), ("app", "model")}
    windows = {("train", "window"), ("train", "stride")}  # transformers warns once, of whole videos
    assert missing == of_apps | windows


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_commands_print_and_write_what_they_did(case, tmp_path, savs, pytestconfig) -> None:
    make_inputs(case, tmp_path)
    before, now = files_in(tmp_path), []
    result = f"store/results/{'vote' if case == OWN_ANSWER else 'trained'}"
    aim = f"--target {OWN_ANSWER}" if case == OWN_ANSWER else ""
    printed = tmp_path / "printed.out", tmp_path / "printed.err"
    for line in CASES[case]:
        words = re.findall(r"'[^']*'|\S+", line.replace("RESULT", result).replace("AIM", aim))
        done = savs(*(word.strip("'") for word in words), env={"COLUMNS": "120"})
        now.append(f"$ savs {line}  [exit {done.returncode}]")
        for path, text in zip(printed, (done.stdout, done.stderr), strict=True):
            path.write_text(text)
            now += told(path, tmp_path)
            path.unlink()
    for path in sorted(files_in(tmp_path) - before):
        now += [f"== {path.relative_to(tmp_path)}", *told(path, tmp_path)]
    kept = KEPT / f"{case}.txt"
    if pytestconfig.getoption("keep_outputs"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("\n".join(now) + "\n", "utf-8")
    found = differences(kept.read_text("utf-8").splitlines(), now, case in RUN)
    assert not found, "\n".join([f"{len(found)} lines of a diff, the first:", *found[:60]])
