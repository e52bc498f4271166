"""Several questions about each image, with what they have in common computed once and each time."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction_bench.cases import PIXELS, photo

LAYERS = 12
WIDTH = 384
QUESTION = "Look at the whole of photo {0}, and say whether it shows thing number {1} or does not."


@dataclass(frozen=True, slots=True)
class Questions:
    """Photos of 448 x 448, which are 256 visual tokens, and some 45 tokens of text."""

    images: int
    each: int
    """Questions about one image."""

    @property
    def folder(self) -> str:
        """Return the name of its folder."""
        return f"questions-{self.each}"


ASKED = (Questions(16, 1), Questions(10, 2), Questions(6, 4), Questions(4, 10))


def write_questions(questions: Questions, work: Path) -> None:
    """Write the photos, and the rows that ask about them."""
    folder = work / questions.folder
    folder.mkdir(exist_ok=True)
    for split, images in (("train", 2), ("test", questions.images)):
        with (folder / f"{split}.jsonl").open("w") as lines:
            for image in range(images):
                name = f"{split}-{image}.jpg"
                (folder / name).write_bytes(photo((448, 448), image))
                for number in range(questions.each):
                    question = QUESTION.format(image, number)
                    row = {"image": name, "question": question, "label": "ab"[image % 2]}
                    lines.write(json.dumps(row) + "\n")


def build_model(folder: Path) -> None:
    """Save a random Qwen2-VL of 12 layers with the processor of the demo model."""
    import torch

    from savs.pipeline.extraction.model.load import load_encoder
    from savs.pipeline.extraction.model.model_options import ModelOptions

    encoder = load_encoder(ModelOptions(model="demo"))
    tokens = {name: i for name, i in encoder.config.to_dict().items() if name.endswith("token_id")}
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "vocab_size": encoder.config.text_config.vocab_size,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [8, 12, 12],
        },
    }
    vision = {"depth": 6, "embed_dim": 256, "num_heads": 4, "hidden_size": WIDTH, "mlp_ratio": 4}
    vision |= {"patch_size": encoder.images.patch_size}
    torch.manual_seed(0)
    model = encoder.kind.from_config(
        type(encoder.config)(text_config=text, vision_config=vision, **tokens)
    )
    model.save_pretrained(folder)
    encoder.processor.save_pretrained(folder)


def time_questions(questions: Questions, work: Path, reuse: str) -> dict[str, Any]:
    """Return rows and CPU seconds of an extraction of these questions, see `time_shards`."""
    folder = work / questions.folder
    files = {"train": folder / "train.jsonl", "test": folder / "test.jsonl"}
    return time_shards(work, reuse=reuse, **files)


def time_shards(work: Path, **options: Any) -> dict[str, Any]:
    """Return rows and CPU seconds of the shards of an extraction, tries before them left out."""
    import torch

    from savs import extract
    from savs.pipeline.extraction.line.engine import Engine

    torch.set_num_threads(1)
    spent: list[float] = []
    run = Engine.run

    def timed(self: Engine, shards: Any) -> None:
        begun = time.process_time()
        run(self, shards)
        spent.append(time.process_time() - begun)

    Engine.run = timed
    shutil.rmtree(work / "store", ignore_errors=True)
    done = extract(
        "general",
        model=work / "model",
        out=work / "store",
        dtype="float32",
        max_pixels=PIXELS,
        workers=0,
        **options,
    )
    Engine.run = run
    return {"rows": done.rows, "seconds": spent[0]}
