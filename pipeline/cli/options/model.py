"""Options of the commands that load a model."""

import json
from typing import Any

import typer

from savs.pipeline.cli.options.shared import Flag

MODEL_FLAGS = {
    "model": Flag("Hugging Face id, local folder, or demo.", metavar="ID"),
    "revision": Flag("Branch, tag or commit on the Hugging Face Hub."),
    "dtype": Flag("auto (as in the checkpoint), bfloat16, float16 or float32."),
    "device": Flag(
        "auto (as few GPUs as it needs, or the CPU), balanced (all), cpu, cuda:1 ...",
        aliases=("--device-map",),
    ),
    "attention": Flag(
        "sdpa, eager, flash_attention_2 ... (default: as the model).",
        aliases=("--attn-implementation",),
    ),
    "adapter": Flag("PEFT adapter to load: Hugging Face id or folder.", metavar="ID"),
    "model_code": Flag("Python file that defines find_heads or to_inputs.", metavar="FILE"),
    "model_kwargs": Flag("More arguments for from_pretrained, as JSON.", metavar="JSON"),
    "trust_remote_code": Flag("Run Python code that comes with the checkpoint."),
    "placeholders": Flag(
        "split: images replace their marks; keep: images first, marks stay in the text.",
        metavar="split|keep",
    ),
    "prompt_template": Flag(
        "Prompt form such as 'Question: {prompt} Answer:', or a file with one.",
        metavar="TEXT|FILE",
    ),
    "min_pixels": Flag("Enlarge smaller images to N pixels.", min=1),
    "max_pixels": Flag("Shrink larger images to N pixels.", min=1),
}


def parse_kwargs(model_kwargs: str | None = None) -> dict[str, Any]:
    """Return `--model-kwargs` as a dictionary; a usage error if it is not a JSON object."""
    try:
        value = json.loads(model_kwargs or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"--model-kwargs is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(
            f"--model-kwargs is {model_kwargs!r}, expected an object such as {{}}"
        )
    if isinstance(value.get("max_memory"), dict):  # JSON has no numbers as keys, devices have
        value["max_memory"] = {
            int(device) if device.isdigit() else device: limit
            for device, limit in value["max_memory"].items()
        }
    return value


MODEL_MADE = {"model_kwargs": parse_kwargs}
