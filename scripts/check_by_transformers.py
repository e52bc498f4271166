"""Compute three figures of the comparison by transformers alone, to check the project's own.

    python scripts/check_by_transformers.py --train train.jsonl --test test.jsonl --media-root DIR

Nothing of savs is imported, and each prompt runs by itself in float32: the vote of the 20 best
heads (SAVs, arXiv 2412.00142), the label with the greatest log-likelihood, its end of turn
included, and the nearest class text of CLIP. Rows have one image, a question and a label. Prints
accuracies in per cent; `--json` also prints all predictions.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, CLIPModel

SHIPPED = Path(__file__).parents[1] / "pipeline" / "demo"
HEADS = 20
END = "<|im_end|>"
TEMPLATE = "a photo of a {}."
Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> dict[str, list[str]]:
    """Print the accuracies; returns the predictions of each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("train", "test", "media-root"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED / "model", help="folder of a Qwen-VL")
    parser.add_argument("--clip", type=Path, default=SHIPPED / "clip", help="folder of a CLIP")
    parser.add_argument("--json", action="store_true", help="print predictions, too")
    options = parser.parse_args(arguments)
    train, test = (_read(path, options.media_root) for path in (options.train, options.test))
    classes = list(dict.fromkeys(row["label"] for row in train))
    model = LanguageModel(options.model)
    predicted = {
        "vote": _vote(model.heads(train), [r["label"] for r in train], classes, model.heads(test)),
        "zero-shot": [max(classes, key=lambda c, r=row: model.likelihood(r, c)) for row in test],
        "clip": _nearest(options.clip, test, classes),
    }
    for name, predictions in predicted.items():
        right = np.mean([p == row["label"] for p, row in zip(predictions, test, strict=True)])
        print(f"{name}: {100 * right:.1f} %")
    if options.json:
        print(json.dumps(predicted))
    return predicted


def _read(path: Path, root: Path) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row | {"picture": _picture(root / _name(row))} for row in rows]


def _name(row: Row) -> str:
    names = row["images"] if "images" in row else [row["image"]]
    if len(names) != 1:
        sys.exit(f"error: example {row.get('id')!r} has {len(names)} images, expected one")
    return names[0]


def _picture(path: Path) -> Image.Image:
    """Return an image, what is transparent in it white."""
    image = Image.open(path)
    if "A" not in image.getbands():
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


class LanguageModel:
    """A model with images and a chat template, whose prompts run one by one."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def heads(self, rows: list[Row]) -> np.ndarray:
        """Return `(heads, rows, head_dim)`: what enters each layer's output projection."""
        count = self.model.config.get_text_config().num_attention_heads
        seen: list[torch.Tensor] = []
        layers: Any = self.model.get_decoder().layers
        for layer in layers:
            layer.self_attn.o_proj.register_forward_pre_hook(lambda _, x: seen.append(x[0][0, -1]))
        for row in rows:
            self._logits(row, "")
        for layer in layers:
            layer.self_attn.o_proj._forward_pre_hooks.clear()
        values = torch.stack(seen).view(len(rows), len(layers) * count, -1)
        return values.transpose(0, 1).numpy()

    def likelihood(self, row: Row, label: str) -> float:
        """Return log p(label, end of turn | prompt)."""
        ids, logits = self._logits(row, label + END)
        count = len(self.processor.tokenizer(label + END, add_special_tokens=False).input_ids)
        ahead = logits.double().log_softmax(dim=-1)[-count - 1 : -1]
        return float(ahead[torch.arange(count), ids[-count:]].sum())

    def _logits(self, row: Row, answer: str) -> tuple[torch.Tensor, torch.Tensor]:
        content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
        turn = [{"role": "user", "content": content}]
        text = self.processor.apply_chat_template(turn, add_generation_prompt=True) + answer
        inputs = self.processor(images=[row["picture"]], text=[text], return_tensors="pt")
        with torch.inference_mode():
            return inputs["input_ids"][0], self.model(**inputs).logits[0]


def _vote(train: np.ndarray, labels: list[str], classes: list[str], test: np.ndarray) -> list[str]:
    numbers = np.array([classes.index(label) for label in labels])
    means = np.stack([train[:, numbers == c].mean(axis=1) for c in range(len(classes))], axis=1)
    ranks = [_rank(values, centres, numbers) for values, centres in zip(train, means, strict=True)]
    best = sorted(range(len(ranks)), key=lambda head: (*ranks[head], head))[:HEADS]
    votes = np.stack([_cosines(test[head], means[head]).argmax(axis=1) for head in best])
    return [classes[_majority(values.tolist())] for values in votes.T]


def _rank(features: np.ndarray, means: np.ndarray, numbers: np.ndarray) -> tuple[float, float]:
    """Return what a head is ordered by: fewest mistakes, then the greatest left-out margin."""
    table = _cosines(features, means)
    right = float((table.argmax(axis=1) == numbers).sum())
    margins = []
    for row, number in enumerate(numbers):
        others = (numbers == number) & (np.arange(len(numbers)) != row)
        left_out = _cosines(features[[row]], features[others].mean(axis=0)[None])[0, 0]
        margins.append(left_out - np.delete(table[row], number).max())
    return -right, -float(np.mean(margins))


def _cosines(features: np.ndarray, means: np.ndarray) -> np.ndarray:
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, means)]
    return units[0] @ units[1].T


def _majority(votes: list[int]) -> int:
    """Return the class with most votes; of equal ones that of the best head among them."""
    counts = Counter(votes)
    return next(vote for vote in votes if counts[vote] == max(counts.values()))


def _nearest(folder: Path, rows: list[Row], classes: list[str]) -> list[str]:
    """Return the class whose text CLIP finds nearest to each image."""
    model, processor = CLIPModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    texts = [TEMPLATE.format(label) for label in classes]
    inputs = processor(
        text=texts, images=[row["picture"] for row in rows], return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        logits = model.float().eval()(**inputs).logits_per_image
    return [classes[place] for place in logits.argmax(dim=1).tolist()]


if __name__ == "__main__":
    main()
