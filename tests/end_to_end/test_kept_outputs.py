"""What commands print and write stays as it is kept in `tests/data/outputs`.

A change that means to alter it writes the texts anew, and its author reads their diff:

    .venv/bin/python -m pytest tests/end_to_end/test_kept_outputs.py --keep-outputs
"""

import re
from pathlib import Path

import polars as pl
import pytest
from compare_outputs import COMMANDS, write_inputs
from kept_outputs import differences, told
from kinds_of_stores import write_trained

from savs.pipeline.readouts.catalogue import READOUTS
from savs.pipeline.targets import TARGETS
from savs.pipeline.targets.catalogue import OWN_ANSWER

pytestmark = pytest.mark.thorough
KEPT = Path(__file__).parents[1] / "data" / "outputs"
SAME_FOR_EACH_KIND = [
    *(f"select store AIM --heads 3 --readout {name}" for name in READOUTS),
    *(f"evaluate store --readout {name}" for name in READOUTS),
    "select store AIM --heads 2 --out scored --scoring loo --json",
    "select store AIM --heads 2 --out shallow --max-layer 0 --no-estimate",
    "select store AIM --heads L0.H2,L3.H0 --out named",
    "select store AIM --suspects --out suspects",
    "select store AIM --precision 0.9 --out precise",
    "evaluate store --per-class --out each",
    "evaluate store --folds 3 --out folds --json",
    "evaluate store --risk 0.2 --out risk --per-class",
    "sweep store --draws 2 --shots 4,all --heads 1,2 --readout vote,lda,ridge --out swept",
    "sweep store --draws 2 --shots 4 --heads 2 --format csv --out again",
    "compare RESULT store/results/lda store/results/ridge",
    "compare RESULT store/results/knn --json",
    "compare RESULT store/results/knn --format latex",
    "show store",
    "show store --json",
    "show RESULT --head-map",
    "query store 'SELECT split, count(*) AS n FROM examples GROUP BY split ORDER BY 1'",
    "query RESULT 'SELECT * FROM predictions LIMIT 3' --format csv",
    "query RESULT 'SELECT * FROM votes LIMIT 3'",
    "report store --out report.html",
    "explain store --n 2 --out explained.html",
    "explain store --errors --json",
    "suggest store --n 3 --out next.csv",
    "label store given.csv",
    "classify RESULT store --out classified.csv",
    "classify RESULT store --out classified.parquet --risk 0.2",
    "export RESULT --out table.parquet --to parquet",
    "export RESULT --out bundle --to classifier",
    "export store --out heads.safetensors --to safetensors --heads L0.H1,L3.H2",
    "export RESULT --out slim --to store",
    "merge store slim --out merged",
    "verify store",
    "verify slim --quick --json",
]
OF_ANSWERS = [
    *(
        f"select store --heads 3 --readout {n}"
        for n in ("answers", "answers-fitted", "answers-lda")
    ),
    *(f"evaluate store --readout {n}" for n in ("answers", "answers-fitted", "answers-lda")),
    "evaluate store --readout zero-shot",
    "select store --target pseudo-labels:0.5 --out pseudo",
    "evaluate store --selection pseudo --out of-pseudo",
    "sweep store --readout answers,answers-lda,zero-shot --draws 2 --shots 4 --out answered",
    "compare store/results/answers store/results/zero-shot store/results/answers-lda",
    "report store --out answers.html",
]
CASES: dict[str, list[str]] = {
    **{kind: [*SAME_FOR_EACH_KIND] for kind in TARGETS},
    OWN_ANSWER: [*SAME_FOR_EACH_KIND, *OF_ANSWERS],
    "imported": [
        "import inputs/cube.npy --labels inputs/own.csv --model enc --out cube",
        "import inputs/cube.npy --labels inputs/texts.csv --out texts",
        "import inputs/one.safetensors --labels inputs/own.csv --out one --json",
        "import inputs/heads.parquet --out parquet",
        "import inputs/first.parquet --split train --model enc --out first",
        "import inputs/last.parquet --split test --model enc --out last",
        "merge first last --out merged",
        "train cube",
        *(f"select texts --heads 3 --readout {name}" for name in ("hec-t", "hec-vt", "clip")),
        *(f"evaluate texts --readout {name}" for name in ("hec-t", "hec-vt", "clip")),
        "evaluate merged --readout lda",
        "export cube --out back.safetensors --to safetensors --heads all",
        "export texts --out texts.npz --to npz --heads L0.H1",
        "show parquet",
        "import inputs/cube.npy --labels inputs/short.csv --out short",
        "import inputs/cube.npy --labels inputs/own.csv --out cube",
        "merge cube one --out errors",
    ],
    "refused": [
        "extract general --model demo",
        "extract nothing --model demo --out new",
        "select store --heads none",
        "select store --heads 0",
        "select store --heads L9.H9",
        "select nowhere",
        "select store --readout nothing",
        "select store --scoring nothing",
        "select store --max-layer -1",
        "evaluate store --readout nothing",
        "evaluate store --readout zero-shot",
        "evaluate store --folds 1",
        "evaluate store --risk 2",
        "evaluate store --selection nowhere",
        "evaluate store --drop-leaks --benchmark nothing",
        "sweep store --shots 0",
        "sweep store --prompts",
        "compare store/results/trained",
        "compare store/results/trained nowhere",
        "query store 'SELECT nothing FROM nowhere'",
        "query store 'DROP TABLE examples'",
        "report store --out report.txt",
        "report nowhere --out report.html",
        "explain store --id nothing",
        "suggest store --n 0",
        "label store nowhere.csv",
        "label store twice.csv",
        "export store --out x.npz --to zip",
        "export store --out x.npz --to npz --heads L9.H9",
        "merge store store --out merged",
        "verify damaged",
        "verify damaged --repair",
        "select damaged",
        "show damaged",
        "classify store/results/trained nowhere.png",
        "ask nowhere --question 'A cat?'",
        "benchmarks nothing",
        "nothing",
        "select store --nothing",
    ],
    "helps": [
        "--help",
        "--help-all",
        *(f"{name} --help-all" for name in (*COMMANDS, "train", "ask", "label", "app")),
        "benchmarks",
        "benchmarks naturalbench",
        "benchmarks blink --json",
        "models --json",
        "models demo",
    ],
}
"""Name of a kept text -> commands that run one after the other in a folder."""


def make_inputs(case: str, folder: Path) -> None:
    """Write what the commands of a case read."""
    if case == "imported":
        write_inputs(folder / "inputs")
    elif case != "helps":
        store = write_trained(case if case in TARGETS else "one", folder / "store")
        labels = store.examples("test")["label"].to_list()
        ids = ["test:0", "test:1"]
        pl.DataFrame({"id": ids, "label": labels[1:3]}).write_csv(folder / "given.csv")
        pl.DataFrame({"id": [ids[0]] * 2, "label": labels[1:3]}).write_csv(folder / "twice.csv")
        (folder / "damaged").mkdir()
        (folder / "damaged" / "store.json").write_text('{"format": 1, "identity"')


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_commands_print_and_write_what_they_did(case, tmp_path, savs, pytestconfig) -> None:
    make_inputs(case, tmp_path)
    before, now = files_in(tmp_path), []
    result = "store/results/vote" if case == OWN_ANSWER else "store/results/trained"
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
    found = differences(kept.read_text("utf-8").splitlines(), now)
    assert not found, "\n".join([f"{len(found)} lines of a diff, the first:", *found[:60]])
