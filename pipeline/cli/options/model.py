"""Options of the commands that load a model."""

import json
from typing import Annotated, Any

import typer

from savs.datasets.prompt import PLACEHOLDERS
from savs.pipeline.cli.options.shared import option

DtypeOption = Annotated[
    str, option("--dtype", help="auto (the checkpoint's), bfloat16, float16 or float32.")
]
RevisionOption = Annotated[
    str | None, option("--revision", help="Branch, tag or commit on the hub.")
]
DeviceOption = Annotated[
    str, option("--device", "--device-map", help="auto (all GPUs, else CPU), cpu, cuda:1, mps ...")
]
AttentionOption = Annotated[
    str | None,
    option(
        "--attention",
        "--attn-implementation",
        help="sdpa, eager, flash_attention_2 ... (default: the model's)",
    ),
]
AdapterOption = Annotated[
    str | None, option("--adapter", metavar="ID", help="A PEFT adapter to put on the model.")
]
CodeOption = Annotated[
    str | None,
    option("--model-code", metavar="FILE", help="Python with find_heads or to_inputs of your own."),
]
KwargsOption = Annotated[
    str | None,
    option("--model-kwargs", metavar="JSON", help="More arguments of from_pretrained, as JSON."),
]


def _known_placeholders(value: str) -> str:
    if value not in PLACEHOLDERS:
        raise typer.BadParameter(f"{value!r}, expected {' or '.join(PLACEHOLDERS)}")
    return value


PlaceholdersOption = Annotated[
    str,
    option(
        "--placeholders",
        metavar="split|keep",
        callback=_known_placeholders,
        help="Images at their marks, or all first with the marks kept in the text.",
    ),
]
TrustOption = Annotated[
    bool, option("--trust-remote-code", help="Run code that comes with the checkpoint.")
]


def parse_kwargs(text: str | None) -> dict[str, Any]:
    """Return `--model-kwargs` as a dictionary; a usage error where it is no JSON object."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"--model-kwargs is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(f"--model-kwargs is {text!r}, expected an object such as {{}}")
    if isinstance(value.get("max_memory"), dict):  # JSON has no numbers as keys, devices have
        value["max_memory"] = {
            int(device) if device.isdigit() else device: limit
            for device, limit in value["max_memory"].items()
        }
    return value
