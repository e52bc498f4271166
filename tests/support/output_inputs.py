"""Images, tables, films and features that the commands of kept outputs read."""

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

SHAPES = {"mouse": "circle", "sheep": "square", "whale": "triangle"}
COLORS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 210)}
ANIMAL = "Is this a mouse, a sheep or a whale?"
OWN = """\
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    return chat_inputs(processor, [("Look.", *pieces) for pieces in prompts])
"""


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
    """Draw all images, tables and features."""
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
    for number in range(6):
        image = draw("circle", "red", 10 + 5 * number, rng)
        save(image, folder / "new" / f"{number}.png")
    rows = [{"id": f"n{n}", "image": f"new/{n}.png", "question": ANIMAL} for n in range(5)]
    rows.append({"id": "lost", "image": "new/lost.png", "question": ANIMAL})
    table = pl.DataFrame(rows)
    table.write_csv(folder / "new.csv")
    table.select("id", picture="image").write_csv(folder / "pictures.csv")


def write_scenes(folder: Path, rng: np.random.Generator) -> None:
    """Draw scenes with three questions each: subtasks, groups, categories and other columns."""
    for split, count in (("train", 9), ("test", 9)):
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
    (folder / "classes.txt").write_text("mouse\nwhale\n")
    (folder / "own.py").write_text(OWN)
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
    boxes = [[0, 0, 56, 112], [0.5, 0.25, 1.0, 0.75], [100, 0, 150, 20]]
    boxed = [rows[5 + number % 9] | {"box": boxes[number % 4 % 3]} for number in range(15)]
    write_lines(folder / "boxes.jsonl", boxed)
    for name, place in (("given", ""), ("classified", "inputs/new/")):
        labels = [{"image": f"{place}{number}.png", "label": "mouse"} for number in (0, 3)]
        pl.DataFrame(labels).write_csv(folder / f"{name}.csv")


def write_clips(folder: Path) -> None:
    """Encode films that become lighter or darker."""
    (folder / "clips").mkdir()
    for split, count in (("train", 8), ("test", 6)):
        rows = []
        for number in range(count):
            label = "lighter" if number % 2 == 0 else "darker"
            greys = [40 + 30 * step + number * number for step in range(6)]
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
