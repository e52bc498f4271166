"""Keep what the `savs` commands give on small inputs, and compare it with another checkout's.

A change of the code that shall change no behaviour is tested so:

    python scripts/compare_outputs.py keep --savs BEFORE/.venv/bin/savs --out kept/before
    python scripts/compare_outputs.py keep --savs AFTER/.venv/bin/savs --out kept/after
    python scripts/compare_outputs.py compare kept/before kept/after

`keep` draws images, tables and features, and runs the commands of `CASES` in the folder, on the
models that ship with the project. `compare` reads every file that they wrote, and what they
printed. It needs no module of savs, so that one script serves both checkouts. Programs must be of
the same versions on the same machine: features are compared bit for bit.
"""

import argparse
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import polars as pl
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

READOUTS = ("vote", "posterior", "calm", "lda", "logistic", "knn")
BY_NAME = ("clip", "clip-names", "tip-adapter", "tip-adapter-cv", "lp-plus-plus")
BY_PROMPT = ("hec-t", "hec-vt", "hec-vt-cv")
OWN = ("zero-shot", "zero-shot-mean", "icl", "generated")
COMMANDS = (
    *("demo", "doctor", "benchmarks", "models", "extract", "import", "select", "evaluate"),
    *("sweep", "compare", "classify", "suggest", "show", "query", "report", "explain"),
    *("verify", "merge", "export"),
)
ANIMALS = "--train inputs/animals-train.jsonl --test inputs/animals-test.jsonl"
SCENES = "--train inputs/scenes-train.jsonl --test inputs/scenes-test.jsonl"
BATCHES = "--no-progress"
ALL = "animals/store/results"
COUNT = "'SELECT label, split, count(*) AS n FROM examples GROUP BY label, split ORDER BY 1, 2'"
HEAD = "'SELECT id, label, \"L3.H1\" FROM examples LIMIT 3'"
JOINED = "'SELECT p.id, p.prediction, v.name, v.vote FROM predictions p JOIN votes v ON p.id = v.id"
JOINED += " ORDER BY 1, 3 LIMIT 20'"

CASES: dict[str, list[str]] = {
    "look": [
        "--help",
        *(f"{name} --help" for name in COMMANDS),
        "--version",
        "benchmarks",
        "benchmarks --json",
        "benchmarks blink",
        "models",
        "models --json",
        "models demo",
    ],
    "demo": [
        "demo --out demo",
        "show demo/features",
        "compare demo/features/results/vote demo/features/results/zero-shot",
    ],
    "animals": [
        f"extract general {ANIMALS} --model demo --out animals/store --dry-run --page"
        " animals/model.html",
        f"extract general {ANIMALS} --model demo --out animals/store {BATCHES} --classes labels"
        " --answers labels,generate,icl:1 --thumbnails --dtype float32",
        *(f"select animals/store --heads 8 --readout {name}" for name in (*READOUTS, *BY_PROMPT)),
        *(f"evaluate animals/store --readout {name}" for name in (*READOUTS, *BY_PROMPT, *OWN)),
        "evaluate animals/store --folds loo --out animals/loo",
        "evaluate animals/store --readout posterior --risk 0.1 --per-class --out animals/risk",
        "evaluate animals/store --drop-leaks --json --out animals/dropped",
        "select animals/store --scoring loo --heads 4 --out animals/loo-scored --suspects",
        "select animals/store --max-layer 2 --heads 5 --out animals/shallow --json",
        "select animals/store --heads L1.H2,L3.H4 --out animals/named",
        f"select animals/store --heads {ALL}/lda --readout knn --out animals/from",
        "sweep animals/store --readout vote,lda --draws 3 --heads 1,5,all --shots 1,4,all",
        "sweep animals/store --readout knn,hec-t --draws 2 --shots 2 --json --out animals/seed",
        "sweep animals/store --max-layer 1,3 --heads 4 --out animals/depth",
        f"compare {ALL}/vote {ALL}/lda {ALL}/zero-shot --json",
        *(f"compare {ALL}/vote {ALL}/icl --format {form}" for form in ("markdown", "latex", "csv")),
        "show animals/store",
        "show animals/store --json",
        "show animals/store/results/vote --head-map",
        *(f"query animals/store {sql}" for sql in (COUNT, HEAD, JOINED)),
        f"query animals/store/results/lda {HEAD} --json",
        "report animals/store --out animals/all.html",
        f"report {ALL}/lda {ALL}/vote --media-root inputs --out animals/two.html",
        f"explain {ALL}/vote --n 3 --media-root inputs --out animals/why.html",
        f"explain {ALL}/lda --errors --json",
        f"explain {ALL}/vote --id animals-test:1 --attention-maps --media-root inputs"
        " --out animals/maps.html",
        "suggest animals/store/results/lda --n 4 --out animals/next.jsonl",
        f"suggest {ALL}/vote/predictions.parquet --n 4 --out animals/next.csv",
    ],
    "moving": [
        "verify animals/store --quick --json",
        "export animals/store/results/vote --to store --out moving/slim",
        "evaluate moving/slim",
        "export animals/store --out moving/all.npz --to npz --heads all",
        "export animals/store --out moving/two.safetensors --to safetensors --heads L1.H2,L3.H4",
        "export animals/store/results/vote --out moving/bundle --to classifier",
        f"export {ALL}/lda --to parquet --out moving/lda.parquet",
        f"extract general {ANIMALS} --model demo --out moving/few --heads {ALL}/vote --no-progress",
        "evaluate moving/few",
        "verify moving/few --repair",
        "extract general --test inputs/scenes-train.jsonl --shots 3 --seed 4 --model demo --out"
        " moving/drawn --column image=picture --no-progress",
    ],
    "scenes": [
        f"extract general {SCENES} --model demo --out scenes/store {BATCHES} --answers labels"
        " --column image=picture",
        f"extract general {SCENES} --model demo --out scenes/shared {BATCHES} --gpus cpu,cpu"
        " --column image=picture --batch-size 8",
        "select scenes/store --heads 6",
        *(f"evaluate scenes/store --readout {name}" for name in ("vote", "lda", "zero-shot")),
        "evaluate scenes/store --folds 5 --per-class --out scenes/cv",
        "sweep animals/store scenes/store --draws 3 --shots 4 --readout vote,lda"
        " --out scenes/means",
        "show scenes/store/results/vote --head-map",
        "report scenes/store --media-root inputs --out scenes/report.html",
        f"compare scenes/store/results/vote scenes/store/results/lda {ALL}/vote {ALL}/lda --json",
        "verify scenes/shared",
    ],
    "clip": [
        f"extract general {ANIMALS} --model demo-clip --out clip/store --classes inputs/names.json"
        " --no-progress",
        *(f"select clip/store --readout {name}" for name in (*BY_NAME, "lda", "vote")),
        *(f"evaluate clip/store --readout {name}" for name in (*BY_NAME, "lda", "vote")),
        "sweep animals/store clip/store --readout vote,lda,clip,zero-shot --shots 1,4,all"
        " --draws 3 --out clip/curves",
        "classify clip/store/results/tip-adapter inputs/new --no-progress",
    ],
    "prompts": [
        "extract image-folder --test inputs/photos --shots 8 --seed 1 --model demo --out"
        " prompts/store --question 'Which animal is this?' --question 'How large is it?'"
        " --no-progress",
        "select prompts/store --heads 5",
        "evaluate prompts/store",
        "sweep prompts/store --prompts --heads 2 --readout lda,vote --json --out prompts/two",
        "classify prompts/store/results/vote inputs/new --no-progress",
    ],
    "videos": [
        "extract general --train inputs/clips-train.jsonl --test inputs/clips-test.jsonl --model"
        " demo --out videos/store --video frames:3 --no-progress",
        "select videos/store --heads 4",
        "evaluate videos/store",
    ],
    "text": [
        "extract general --train inputs/text-train.csv --test inputs/text-test.json --model demo"
        " --out text/store --answers labels --no-progress",
        "evaluate text/store --readout zero-shot",
    ],
    "import": [
        "import inputs/cube.npy --labels inputs/own.csv --model enc --out import/cube",
        "import inputs/cube.npy --labels inputs/texts.csv --out import/texts",
        "import inputs/one.safetensors --labels inputs/own.csv --out import/one --json",
        "import inputs/heads.parquet --out import/parquet",
        "import inputs/first.parquet --split train --model enc --out import/first",
        "import inputs/last.parquet --split test --model enc --out import/last",
        "merge import/first import/last --out import/merged",
        "select import/cube --heads 3",
        *(f"evaluate import/cube --readout {name} --risk 0.2" for name in READOUTS),
        *(f"select import/texts --readout {name}" for name in BY_PROMPT),
        *(f"evaluate import/texts --readout {name}" for name in BY_PROMPT),
        "evaluate import/merged --readout lda",
        "export import/cube --out import/back.safetensors --to safetensors --heads all",
        "show import/parquet",
    ],
    "append": [
        "extract general --train inputs/animals-train.jsonl --limit 12 --model demo --out"
        f" append/store {BATCHES}",
        "extract general --train inputs/animals-train.jsonl --model demo --out append/store"
        f" {BATCHES}",
        "extract general --test inputs/animals-test.jsonl --model demo --out append/store --append"
        f" {BATCHES}",
        "extract --config inputs/run.toml",
        "merge append/store append/configured --out append/merged",
        "evaluate append/merged --readout lda",
    ],
    "skipped": [
        "exit 4: extract general --train inputs/animals-train.jsonl --test inputs/broken.jsonl"
        f" --model demo --out skipped/store {BATCHES}",
        "evaluate skipped/store",
        "extract general --train inputs/animals-train.jsonl --test inputs/broken.jsonl --model demo"
        f" --out skipped/store {BATCHES} --retry-skipped --allow skips:9",
    ],
    "classify": [
        f"classify {ALL}/vote inputs/new --no-progress",
        f"classify {ALL}/lda inputs/new inputs/photos --risk 0.1 --out classify/new.csv"
        " --no-progress --json",
        f"classify {ALL}/knn,{ALL}/posterior,near=animals/shallow inputs/new"
        " --out classify/several.jsonl --no-progress",
        f"exit 4: classify {ALL}/logistic inputs/new.csv --out classify/table.parquet"
        " --no-progress",
        f"classify {ALL}/vote 'inputs/many/*.png' --out classify/many.csv --gpus cpu,cpu",
        "classify moving/bundle inputs/new/0.png --no-progress",
        "suggest classify/many.csv --n 3",
    ],
    "errors": [
        "exit 2: extract general --model demo",
        "exit 1: select animals/store --heads none",
        "exit 1: select nowhere",
        "exit 1: evaluate animals/store --readout nothing",
        "exit 1: evaluate import/one --readout zero-shot",
        "exit 1: extract general --train inputs/bad.jsonl --model demo --out errors/store",
        f"exit 1: extract general {ANIMALS} --model demo --out import/cube",
        f"exit 1: extract general {ANIMALS} --model nowhere --out errors/store",
        "exit 1: query animals/store 'SELECT nothing FROM nowhere'",
        "exit 1: compare animals/store/results/vote import/cube/results/vote",
        "exit 1: merge import/cube import/one --out errors/merged",
        f"exit 1: classify {ALL}/vote inputs/new --question 'Another?'",
        "exit 1: import inputs/cube.npy --labels inputs/short.csv --out errors/short",
        "exit 2: export animals/store --out errors/x.npz --to zip",
        "exit 3: verify errors/damaged",
        "exit 3: select errors/damaged",
        "exit 3: verify errors/damaged --repair",
    ],
}
"""Case -> the arguments of `savs`, one line a command; `exit N:` says that N is expected.

Commands run in the folder of `keep`, in this order: later cases read what earlier ones wrote. What
a command prints lies in `CASE/printed`, under its number: one that is renamed keeps its place.
"""

TEXT_RULES: list[tuple[str, str, str]] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE", "when a run started"),
    (r"[\d.]+ [kMGT]?B are free", "N GB are free", "other programs use the disk"),
    (r"examples in \d+:\d\d, [\d.]+ per second", "examples in TIME", "a duration"),
    (r"^peak memory .*", "peak memory", "differs by some MB from run to run"),
    (r"^(general,.*),[\d.]+$", r"\1,SECONDS", "compare --format csv: what a result cost"),
    (r"^(\| .* \| demo.*) \| [\d.]+ \|$", r"\1 | SECONDS |", "the same, --format markdown"),
    (r"^(.* & demo.*) & [\d.]+ \\\\$", r"\1 & SECONDS", "the same, --format latex"),
    (r"(digest of the results</dt><dd>)\w+", r"\1DIGEST", "of metrics.json, which has seconds"),
    (r"savs \d+\.\d+\.\d+\S*", "savs VERSION", "a checkout may be of another version"),
    (r"^(\w+( \w+)+|free in \S+)  +([\d.]+( .?B)?)$", r"\1 \3", "--dry-run: width of FOLDER"),
]
"""Pattern, what replaces it in each line or value, and why; the folder is FOLDER before."""
DROPPED_LINES: list[tuple[str, str]] = [
    (r"^(free in|examples per second|estimated time) ", "--dry-run: the machine's speed and disk"),
    (r"examples \(\d+ %\), [\d.]+ per second", "progress is printed by the clock"),
]
"""Pattern of a printed line that is left out, and why."""
RACING = "--gpus cpu,cpu"
"""Commands with this: messages are not compared, as it is a race which process does what."""
DROPPED_FIELDS: list[tuple[str, str]] = [
    (r"/printed/.*json:(line|seconds)$", "the command itself, which may be renamed; its duration"),
    (r"(@run|runs/\d+)/(writer|started|rank)$", "host, process and date of a run"),
    (r"/shared/store\.json:runs/", "one for each process that found work: a race"),
    (r"(@run|cost|\.out:.*)/seconds$|\.out:seconds$", "durations"),
    (r"(@run|runs/\d+)/versions/", "versions of programs"),
    (r":savs$", "the version that wrote a file"),
    (r"store\.json:(check|shards/\d+/sha256)$", "digests of what holds times: shards, runs"),
    (r"metrics\.json:(run|files/.*)$", "digests of the results, which hold seconds"),
]
"""Pattern of `FILE:FIELD` (of JSON, HDF5 attributes ...) that is left out, and why."""

SHAPES = {"mouse": "circle", "sheep": "square", "whale": "triangle"}
COLORS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 210)}
ANIMAL = "Is this a mouse, a sheep or a whale?"


# --- inputs -----------------------------------------------------------------------------------


def draw(shape: str, color: str, radius: int, rng: np.random.Generator) -> Image.Image:
    """Return a scene of one thing at a random place, on a grey of random lightness."""
    image = Image.new("RGB", (112, 112), (int(rng.integers(190, 240)),) * 3)
    x, y = (int(value) for value in rng.integers(radius, 112 - radius, 2))
    pen = ImageDraw.Draw(image)
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=COLORS[color])
    elif shape == "square":
        pen.rectangle(box, fill=COLORS[color])
    else:
        pen.polygon([(x, y - radius), (box[0], box[3]), box[2:]], fill=COLORS[color])
    return image


def save(image: Image.Image, path: Path) -> None:
    """Save an image, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_inputs(folder: Path) -> None:
    """Draw all images, tables and features of `CASES`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    write_animals(folder, rng)
    write_scenes(folder, rng)
    write_options(folder, rng)
    write_clips(folder)
    write_features(folder, rng)
    write_texts(folder)


def write_animals(folder: Path, rng: np.random.Generator) -> None:
    """Draw animals: the label is the size, which overlaps, so that some predictions are wrong."""
    for split, count in (("train", 24), ("test", 24), ("more", 6)):
        rows = []
        for number in range(count):
            label = list(SHAPES)[number % 3]
            radius = {"mouse": 12, "sheep": 20, "whale": 28}[label] + int(rng.integers(-6, 7))
            shape, color = list(SHAPES.values())[number // 3 % 3], list(COLORS)[number // 2 % 3]
            name = f"{split}/{number}.png"
            image = draw(shape, color, radius, rng)
            save(image, folder / name)
            save(image, folder / "photos" / label / f"{split}-{number}.png")
            rows.append({"image": name, "question": ANIMAL, "label": label, "radius": radius})
        if split == "test":
            rows[5]["image"] = "train/5.png"  # a leak
        write_lines(folder / f"animals-{split}.jsonl", rows)
    for number in range(12):
        image = draw("circle", "red", 10 + 2 * number, rng)
        save(image, folder / "new" / f"{number}.png")
    for number in range(130):
        image = draw("square", "blue", 8 + number % 24, rng)
        save(image.resize((56, 56)), folder / "many" / f"{number:03}.png")
    rows = [{"id": f"n{n}", "image": f"new/{n}.png", "question": ANIMAL} for n in range(5)]
    rows.append({"id": "lost", "image": "new/lost.png", "question": ANIMAL})
    pl.DataFrame(rows).write_csv(folder / "new.csv")


def write_scenes(folder: Path, rng: np.random.Generator) -> None:
    """Draw scenes with three questions each: subtasks, groups, categories and other columns."""
    for split, count in (("train", 18), ("test", 12)):
        rows = []
        for number in range(count):
            shape, color = list(SHAPES.values())[number % 3], list(COLORS)[number // 3 % 3]
            radius = int(rng.integers(10, 30))
            name = f"scenes/{split}-{number}.jpg"
            save(draw(shape, color, radius, rng), folder / name)
            questions = (
                ("color", f"What color is the {shape}?", color),
                ("shape", f"What shape is the {color} object?", shape),
                ("creature", "Is this a mouse or a whale?", "mouse" if radius < 20 else "whale"),
            )
            rows += [
                {
                    "id": f"{split}-{number}-{subtask}",
                    "picture": name,
                    "question": question,
                    "label": label,
                    "subtask": subtask,
                    "group": f"scene {number // 2}",
                    "category": "even" if number % 2 == 0 else "odd",
                    "radius": radius,
                    "note": {"é": [number, None]},
                }
                for subtask, question, label in questions
            ]
        write_lines(folder / f"scenes-{split}.jsonl", rows)


def png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG file."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def write_options(folder: Path, rng: np.random.Generator) -> None:
    """Write files of options, rows of media that cannot be read, and what is refused."""
    names = {"mouse": "small thing", "sheep": "thing", "whale": "large thing"}
    (folder / "names.json").write_text(json.dumps(names))
    (folder / "run.toml").write_text(
        '[extract]\nbenchmark = "general"\ntrain = "inputs/animals-more.jsonl"\n'
        'model = "demo"\nout = "append/configured"\nno_progress = true\n'
    )
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(png(draw("circle", "red", 20, rng))[:200])
    (folder / "words.png").write_text("no image")
    media = ["lost.png", "empty.png", "cut.png", "words.png", "data:image/png;base64,??"]
    media += [f"test/{number}.png" for number in range(9)]
    rows = [
        {"image": name, "question": ANIMAL, "label": list(SHAPES)[number % 3]}
        for number, name in enumerate(media)
    ]
    write_lines(folder / "broken.jsonl", rows)
    write_lines(folder / "bad.jsonl", [rows[9], {"picture": "test/0.png"}])
    damaged = folder.parent / "errors" / "damaged"
    damaged.mkdir(parents=True)
    (damaged / "store.json").write_text('{"format": 1, "identity"')


def write_clips(folder: Path) -> None:
    """Encode films that become lighter or darker."""
    (folder / "clips").mkdir()
    for split, count in (("train", 8), ("test", 6)):
        rows = []
        for number in range(count):
            label = "lighter" if number % 2 == 0 else "darker"
            greys = [40 + 30 * step + 5 * number for step in range(6)]
            name = f"clips/{split}-{number}.mp4"
            encode(folder / name, greys if label == "lighter" else greys[::-1])
            rows.append({"image": name, "question": "Lighter or darker?", "label": label})
        write_lines(folder / f"clips-{split}.jsonl", rows)


def encode(path: Path, greys: list[int]) -> None:
    """Write a film of ten frames a second, each of one colour."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("mpeg4", rate=10, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for grey in greys:
            image = Image.new("RGB", (64, 64), (grey, grey, 90))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())


def write_features(folder: Path, rng: np.random.Generator) -> None:
    """Draw features of three layers with two heads each, as `savs import` reads them."""
    labels = [("hot", "cold", "mild")[number % 3] for number in range(48)]
    centres = {name: rng.standard_normal((3, 2, 8)) for name in ("hot", "cold", "mild")}
    noise = rng.standard_normal((48, 3, 2, 8))
    cube = np.stack([centres[label] for label in labels]) + 1.5 * noise
    cube = cube.astype(np.float32)
    np.save(folder / "cube.npy", cube)
    splits = ["train" if number < 27 else "test" for number in range(48)]
    table = pl.DataFrame(
        {
            "id": [f"row {number}" for number in range(48)],
            "split": splits,
            "label": labels,
            "group": [f"g{number // 2}" for number in range(48)],
            "score": [number / 4 for number in range(48)],
        }
    )
    table.write_csv(folder / "own.csv")
    table.head(5).write_csv(folder / "short.csv")
    classes = ["classes" if number < 3 else split for number, split in enumerate(splits)]
    texts = [f"It is {name}." for name in labels[:3]] + [None] * 45
    table.select("label").with_columns(
        split=pl.Series(classes), question=pl.Series(texts)
    ).write_csv(folder / "texts.csv")
    save_file({"all": cube[:, 0].astype(np.float16)}, folder / "one.safetensors")
    heads = {f"L{layer}.H{head}": cube[:, layer, head] for layer in (0, 2) for head in (0, 1)}
    columns = {name: list(map(np.ndarray.tolist, values)) for name, values in heads.items()}
    whole = table.hstack(pl.DataFrame(columns))
    whole.write_parquet(folder / "heads.parquet")
    whole.drop("split").head(27).write_parquet(folder / "first.parquet")
    whole.drop("split").tail(21).write_parquet(folder / "last.parquet")


def write_texts(folder: Path) -> None:
    """Write questions without images, as CSV and JSON."""
    words = ["red", "seven", "green", "two", "blue", "nine", "cyan", "four", "purple", "three"]
    rows = [
        {"question": f"What is {word}, {n}?", "label": "number" if n % 2 else "color"}
        for n, word in enumerate(words * 2)
    ]
    pl.DataFrame(rows[:12]).write_csv(folder / "text-train.csv")
    (folder / "text-test.json").write_text(json.dumps(rows[12:]))


# --- keep -------------------------------------------------------------------------------------


def keep(savs: Path, out: Path, only: list[str]) -> None:
    """Make the inputs, and run the commands of all cases in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "inputs").exists():
        write_inputs(out / "inputs")
    began = time.monotonic()
    commands, wrong = 0, 0
    for case in only or CASES:
        printed = out / case / "printed"
        printed.mkdir(parents=True, exist_ok=True)
        case_began = time.monotonic()
        for number, line in enumerate(CASES[case], 1):
            commands += 1
            wrong += not run(savs, line, out, printed / f"{number:02}")
        seconds = time.monotonic() - case_began
        print(f"{case}: {len(CASES[case])} commands, {seconds:.0f} s", flush=True)
    seconds = time.monotonic() - began
    print(f"{commands} commands in {seconds:.0f} s, {wrong} with another exit code")


def run(savs: Path, line: str, folder: Path, printed: Path) -> bool:
    """Run a command, keep what it prints, and return whether it ended as `CASES` says."""
    prefix, _, rest = line.partition(": ") if line.startswith("exit ") else ("exit 0", "", line)
    expected = int(prefix.removeprefix("exit "))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SAVS_")
    }
    fixed = {"COLUMNS": "120", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"}
    fixed["PYTHONHASHSEED"] = "0"  # the order of sets of text
    began = time.monotonic()
    done = subprocess.run(
        [savs, *shlex.split(rest)],
        cwd=folder,
        env=environment | fixed,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    printed.with_suffix(".out").write_bytes(done.stdout)
    printed.with_suffix(".err").write_bytes(done.stderr)
    about = {"line": line, "exit": done.returncode, "seconds": time.monotonic() - began}
    printed.with_suffix(".json").write_text(json.dumps(about))
    if done.returncode != expected:
        print(f"exit {done.returncode}, not {expected}: savs {rest}", flush=True)
    return done.returncode == expected


# --- compare ----------------------------------------------------------------------------------

Content = dict[str, Any]
"""What a file holds: place in it -> text, bytes or an array."""


def read(path: Path, root: Path) -> Content:
    """Return what a file holds, without what must differ between two runs."""
    readers = {
        ".h5": read_shard,
        ".json": read_json,
        ".parquet": read_table,
        ".safetensors": read_safetensors,
        ".npz": read_arrays,
        ".npy": read_arrays,
    }
    texts = (".out", ".err", ".html", ".csv", ".jsonl", ".md", ".py", ".txt", ".toml")
    content: Content = {"bytes": path.read_bytes()}
    try:
        if path.suffix in readers:
            content = readers[path.suffix](path)
        elif path.suffix in texts:
            content = read_text(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        content["unreadable"] = str(error)
    fields = {}
    for place, value in content.items():
        field = f"{path.relative_to(root)}:{place}"
        if not any(re.search(pattern, field) for pattern, _ in DROPPED_FIELDS):
            fields[place] = plain(value, root) if isinstance(value, str) else value
    return fields


def plain(text: str, root: Path) -> str:
    """Return a text without what must differ."""
    text = text.replace(str(root), "FOLDER")
    for pattern, instead, _ in TEXT_RULES:
        text = re.sub(pattern, instead, text)
    return text


def flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the places and values in lists and objects of JSON."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in parts:
        where = f"{place}/{name}" if place else str(name)
        if isinstance(part, dict | list) and part:
            yield from flat(part, where)
        else:
            yield where, part if isinstance(part, str) else repr(part)


def read_json(path: Path) -> Content:
    """Return each value of a JSON file."""
    return dict(flat(json.loads(path.read_bytes())))


def read_text(path: Path) -> Content:
    """Return each line; JSON that a command printed is read as such."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".out" and text.startswith(("{", "[")):
        return dict(flat(json.loads(text)))
    lines = [line.rstrip() for line in text.splitlines()]
    left = [
        line for line in lines if not any(re.search(pattern, line) for pattern, _ in DROPPED_LINES)
    ]
    return {f"line {number}": line for number, line in enumerate(left, 1)}


def read_shard(path: Path) -> Content:
    """Return attributes and datasets of a shard; the columns of JSON value by value."""
    content: Content = {}

    def visit(name: str, item: Any) -> None:
        for key, value in item.attrs.items():
            text = value.decode() if isinstance(value, bytes) else str(value)
            fields = flat(json.loads(text), key) if text.startswith("{") else [(key, text)]
            content.update({f"{name}@{field}": one for field, one in fields})
        if isinstance(item, h5py.Dataset) and name != "index":  # offsets and sums of all others
            if name.startswith(("examples/", "skipped/")):
                content.update(flat(json.loads(item[()].tobytes()), name))
            else:
                content[name] = item[()]

    with h5py.File(path) as file:
        visit("", file)
        file.visititems(visit)
    return content


def read_table(path: Path) -> Content:
    """Return schema and cells of a Parquet file."""
    table = pl.read_parquet(path)
    cells = {
        f"row {number}, {name}": repr(value)
        for name in table.columns
        for number, value in enumerate(table[name].to_list())
    }
    return {"schema": str(table.schema), **cells}


def read_safetensors(path: Path) -> Content:
    """Return the header's fields and each array's bytes."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    content: Content = dict(flat(header))
    for name, about in header.items():
        if name != "__metadata__":
            start, stop = about["data_offsets"]
            content[f"{name} (bytes)"] = np.frombuffer(data[end + start : end + stop], np.uint8)
    return content


def read_arrays(path: Path) -> Content:
    """Return the arrays of a file of numpy."""
    arrays = np.load(path)
    return dict(arrays) if path.suffix == ".npz" else {"array": arrays}


def difference(one: Content, two: Content) -> str | None:
    """Return the first difference, in words; None if there is none."""
    for place in [*one, *(place for place in two if place not in one)]:
        if place not in one or place not in two:
            have, value = ("first", one[place]) if place in one else ("second", two[place])
            return f"{place}: only in the {have}: {str(value)[:100]!r}"
        first, second = one[place], two[place]
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            if (first.dtype, first.shape) != (second.dtype, second.shape):
                return f"{place}: {first.dtype}{first.shape}, {second.dtype}{second.shape}"
            if first.tobytes() != second.tobytes():
                count = int((first != second).sum())
                return (
                    f"{place}: {count} of {first.size} numbers differ, or only NaN or a zero's sign"
                )
        elif first != second:
            return f"{place}: {first!s:.200} | {second!s:.200}"
    return None


def files_of(folder: Path) -> dict[str, Path]:
    """Return name -> path of all files of a case."""
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}


def compare(one: Path, two: Path, only: list[str]) -> bool:
    """Print what differs, case by case, and return whether all is equal."""
    all_equal = True
    for case in only or ["inputs", *CASES]:
        first, second = files_of(one / case), files_of(two / case)
        results, messages = [], []
        for name in sorted(first | second):
            if name not in first or name not in second:
                what = f"only in {two if name in second else one}"
            elif first[name].read_bytes() == second[name].read_bytes():
                continue
            else:
                what = difference(read(first[name], one), read(second[name], two))
            if what:
                line = command_of(one / case / name)
                report = f"  {name}{f' ({line:.60})' if line else ''}: {what}"
                if not name.endswith(".err"):
                    results.append(report)
                elif RACING not in line:
                    messages.append(report)
        verdict = "differs" if results else "messages differ" if messages else "equal"
        print(f"{case}: {verdict} ({len(first)} files)" if first else f"{case}: nothing was kept")
        print("\n".join(results), end="\n" if results else "")
        if messages:
            print("  messages (standard error):", *messages, sep="\n  ")
        all_equal &= bool(first) and not results and not messages
    return all_equal


def command_of(path: Path) -> str:
    """Return the command that printed a file, or nothing."""
    about = path.with_suffix(".json")
    is_printed = path.parent.name == "printed" and about.exists()
    return json.loads(about.read_bytes())["line"] if is_printed else ""


def main() -> None:
    """Read the arguments, and keep or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    keeping = commands.add_parser("keep", help="run the commands and keep what they give")
    keeping.add_argument("--savs", type=Path, required=True, help="the command of a checkout")
    keeping.add_argument("--out", type=Path, required=True, help="a new folder")
    comparing = commands.add_parser("compare", help="compare two kept folders")
    comparing.add_argument("first", type=Path)
    comparing.add_argument("second", type=Path)
    for one, cases in ((keeping, [*CASES]), (comparing, ["inputs", *CASES])):
        one.add_argument("--only", action="append", default=[], choices=cases, metavar="CASE")
    arguments = parser.parse_args()
    if arguments.command == "keep":
        keep(arguments.savs.absolute(), arguments.out.absolute(), arguments.only)
    elif not compare(arguments.first.absolute(), arguments.second.absolute(), arguments.only):
        sys.exit(1)


if __name__ == "__main__":
    main()
