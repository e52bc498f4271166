"""Train the dual encoder that ships with the project, from scratch, on drawn scenes and captions.

    python scripts/train_demo_clip.py --out build/demo-clip --seed 0

Schedules count steps, so the same seed on the same machine gives the same model.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from demo_clip.architecture import build_model, build_processor, build_tokenizer
from demo_clip.learning import train
from demo_model.saving import save_model

STEPS = 1600
THREADS = 2


def main() -> None:
    """Train, and save model, processor and log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (options.out / "training.jsonl").open("w") as file:

        def log(entry: dict[str, Any]) -> None:
            text = json.dumps(entry | {"seconds": round(time.monotonic() - started, 1)})
            print(text, flush=True)
            print(text, file=file, flush=True)

        tokenizer = build_tokenizer(options.seed)
        processor = build_processor(tokenizer)
        model = build_model(tokenizer, options.seed).float()
        log({"seed": options.seed, "parameters": model.num_parameters()})
        train(model, processor, options.steps, options.seed, log)
    save_model(model, options.out)
    processor.save_pretrained(options.out)
    print(options.out, file=sys.stderr)


if __name__ == "__main__":
    main()
