"""Options of the commands that load a model."""

import json
from typing import Any

import typer

from savs.pipeline.cli.options.shared import Flag

MODEL_FLAGS = {
    "model": Flag("Hugging Face id, folder, or `demo`.", metavar="ID"),
    "revision": Flag("Branch, tag or commit on the hub."),
    "dtype": Flag("auto (that of the checkpoint), bfloat16, float16 or float32."),
    "device": Flag("auto (all GPUs, else CPU), cpu, cuda:1, mps ...", aliases=("--device-map",)),
    "attention": Flag(
        "sdpa, eager, flash_attention_2 ... (default: that of the model)",
        aliases=("--attn-implementation",),
    ),
    "adapter": Flag("A PEFT adapter to load into the model.", metavar="ID"),
    "model_code": Flag("Python file with find_heads or to_inputs.", metavar="FILE"),
    "model_kwargs": Flag("More arguments of from_pretrained, as JSON.", metavar="JSON"),
    "trust_remote_code": Flag("Run code that comes with the checkpoint."),
    "placeholders": Flag(
        "Images at their marks, or all first with the marks kept in the text.", metavar="split|keep"
    ),
    "min_pixels": Flag("Scale smaller images up to it.", min=1),
    "max_pixels": Flag("Scale larger images down to it.", min=1),
}


def parse_kwargs(model_kwargs: str | None = None) -> dict[str, Any]:
    """Return `--model-kwargs` as a dictionary; a usage error where it is no JSON object."""
    try:
        value = json.loads(model_kwargs or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"--model-kwargs is no JSON: {error}") from error
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
