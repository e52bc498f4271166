"""Train the model that ships with the project, from scratch, on drawn scenes and two CPU cores.

    python scripts/train_demo_model.py --out build/demo-model --seed 0

Schedules count steps, so the same seed on the same machine gives the same model.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from demo_model.architecture import build_model, build_processor
from demo_model.language_stage import train_language
from demo_model.saving import save_model
from demo_model.tokens import build_tokenizer
from demo_model.vision_stage import train_vision

VISION_STEPS = 1000
LANGUAGE_STEPS = 4000
THREADS = 2


def main() -> None:
    """Train both stages and save model, processor and log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vision-steps", type=int, default=VISION_STEPS)
    parser.add_argument("--language-steps", type=int, default=LANGUAGE_STEPS)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (options.out / "training.jsonl").open("w") as file:

        def log(entry: dict[str, Any]) -> None:
            text = json.dumps(entry | {"seconds": round(time.monotonic() - started, 1)})
            print(text, flush=True)
            print(text, file=file, flush=True)

        tokenizer = build_tokenizer(options.seed)
        model = build_model(tokenizer, options.seed).float()
        log({"stage": "start", "seed": options.seed, "parameters": model.num_parameters()})
        train_vision(model, options.vision_steps, options.seed, log)
        train_language(model, tokenizer, options.language_steps, options.seed, log)
    save_model(model, options.out)
    build_processor(tokenizer).save_pretrained(options.out)
    print(options.out, file=sys.stderr)


if __name__ == "__main__":
    main()
