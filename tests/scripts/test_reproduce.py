"""`scripts/reproduce.py`: recipes read files of the published form, and end with a table."""

import json
import shlex
import sys
from pathlib import Path
from string import Formatter

import numpy as np
import pytest
import reproduce
from official_files import FILES, draw_files, in_folders, write_blink, write_naturalbench

pytestmark = pytest.mark.costly

RECIPES = reproduce.all_recipes()
NAMES = {"savs-mhalubench": "MHalu"}
"""Recipe -> name of its rows in `official_files`, where that is another."""


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_is_whole(recipe):
    words = [word for line in recipe.commands for word in shlex.split(line)]
    named = {name for word in words for _, name, _, _ in Formatter().parse(word) if name}
    assert named | {"model"} == {"model", "runs", *recipe.files}
    assert recipe.published
    assert recipe.faults
    measured = {"vote", "zero-shot"} | {
        words[n + 1] for n, word in enumerate(words[:-1]) if word == "--readout"
    }
    assert {row.result for row in recipe.published} <= measured
    assert all(0 < row.value <= 100 for row in recipe.published)


def test_costs_are_those_of_the_estimate(capsys, monkeypatch):
    assert run(monkeypatch, "--list") == 0
    rows = {line.split(" | ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "| 27,000 | 4.4 |" in rows["| `savs-eurosat`"]
    # 7,600 prompts, two an image: 3,800 prefixes of 256 + 15 tokens, and 45 tokens for each prompt
    tflop = 3800 * (256 * 5.05e-3 + 271 * 13.05e-3) + 7600 * 45 * 13.05e-3
    assert f"| 7,600 | {tflop / (0.56 * 989) / 60:.1f} |" in rows["| `savs-naturalbench`"]
    assert "1,040 per 1,000 test examples" in rows["| `savs-vlguard`"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 'a'", "'commands' is missing or unknown"),
        ("titel = 'a'", "'commands' is missing or unknown"),
    ],
)
def test_a_recipe_that_is_not_whole_names_the_field(tmp_path, text, message):
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        reproduce.read_recipe(tmp_path / "odd.toml")


def run(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *map(str, words)])
    return reproduce.main()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return what stands for the files of each recipe, by their names."""
    folder = tmp_path_factory.mktemp("published")
    parts = {
        part: draw_files(folder, part, groups, 8) for part, groups in (("train", 5), ("test", 6))
    }
    found = {
        "savs-naturalbench": {
            "groups": write_naturalbench(folder / "groups.parquet", groups_each=11)
        },
        "savs-blink": {"val": f"{write_blink(folder / 'blink', rows_each=100)}/*/val-*.parquet"},
    }
    for name, recipe in RECIPES.items():
        if name in found:
            continue
        if "features" in recipe.files:
            found[name] = imported(folder)
        elif "train" not in recipe.files:
            images, test = (in_folders(one, folder / f"in-{part}") for part, one in parts.items())
            found[name] = {"images": images, "test": test}
        else:
            paths = {}
            for part, scenes in parts.items():
                rows = (
                    scenes.statements
                    if name == "savs-retrieval"
                    else FILES[NAMES.get(name, name.removeprefix("savs-"))](scenes)
                )
                suffix = Path(recipe.files[part][0]).suffix
                paths[part] = folder / f"{name}-{part}{suffix}"
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                paths[part].write_text(lines if suffix == ".jsonl" else json.dumps(rows))
            found[name] = paths | {"images": folder}
    return found


def imported(folder: Path) -> dict[str, Path]:
    """Write features of three classes, and their labels; return the paths."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    centres = rng.normal(size=(3, 24, 8))
    features = centres[labels] + 0.3 * rng.normal(size=(60, 24, 8))
    np.save(folder / "sounds.npy", features.astype(np.float32))
    rows = [f"{'abc'[y]},{'train' if n < 30 else 'test'}" for n, y in enumerate(labels)]
    (folder / "sounds.csv").write_text("\n".join(["label,split", *rows]) + "\n")
    return {"features": folder / "sounds.npy", "labels": folder / "sounds.csv"}


def arguments(name: str, drawn, runs: Path) -> list[object]:
    files = [word for key, path in drawn[name].items() for word in ("--file", f"{key}={path}")]
    return [name, "--model", "demo", "--runs", runs, *files]


@pytest.fixture
def printed(savs, capfd, monkeypatch):
    """Run a recipe, its commands in this process; return what the script printed itself."""

    def printed(*words: object) -> str:
        parts: list[str] = []

        def run_savs(command: list[str]) -> int:
            parts.append(capfd.readouterr().out)
            done = savs(*command)
            assert done.returncode == 0, done.stderr
            return done.returncode

        monkeypatch.setattr(reproduce, "run_savs", run_savs)
        assert run(monkeypatch, *words) == 0
        return "".join([*parts, capfd.readouterr().out])

    return printed


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_reads_files_of_the_published_form(name, drawn, tmp_path, printed):
    out = printed(*arguments(name, drawn, tmp_path / "runs"), "--dry-run")
    for line in RECIPES[name].commands:
        assert f"run   savs {line.split()[0]} " in out
    for fault in RECIPES[name].faults:
        assert f"note  {fault}" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["savs-vlguard", "savs-retrieval", "hec-few-shot", "calm-sound"])
def test_a_recipe_ends_with_the_published_numbers_and_its_own(name, drawn, tmp_path, printed):
    out = printed(*arguments(name, drawn, tmp_path / "runs"))
    table = [
        line for line in out[out.rindex("| result |") :].splitlines() if line.startswith("| `")
    ]
    for row in RECIPES[name].published:
        (line,) = [line for line in table if line.startswith(f"| `{row.result}` | {row.metric} |")]
        assert f"{row.value} ({row.model.rsplit('/', 1)[-1]}" in line
        number = float(line.split(" | ")[2])
        (store,) = (tmp_path / "runs").iterdir()
        file = json.loads((store / "results" / row.result / "metrics.json").read_text())
        (found,) = [one for one in file["metrics"] if one["name"] == row.metric]
        assert number == pytest.approx(100 * found["value"], abs=0.051)


def test_a_command_that_fails_ends_the_run_with_its_status(tmp_path, monkeypatch, capfd):
    code = run(monkeypatch, "calm-sound", "--data", tmp_path, "--runs", tmp_path / "runs")
    assert code != 0
    said = capfd.readouterr().err
    assert "esc50.npy" in said
    assert "stopped: savs import" in said


@pytest.mark.parametrize("given", ["labels", "label=x", "labels="])
def test_a_file_that_no_recipe_has_is_refused(given, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "calm-sound", "--file", given)
    assert "NAME one of features, labels" in capsys.readouterr().err
