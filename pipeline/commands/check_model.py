"""`savs check-model`: prove on one's own checkpoint that features can be trusted."""

from typing import Annotated, Any

import typer

from savs.pipeline.commands import exits
from savs.pipeline.commands.options import ConfigOption, JsonOption, option
from savs.pipeline.commands.output import print_json, print_table, say
from savs.pipeline.extraction.stage import DEFAULT_BATCH_SIZE, require_extra


def check_model_command(
    model: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id, folder, or `demo`.")],
    batch_size: Annotated[
        int, option(min=2, help="The largest batch to compare with single examples.")
    ] = DEFAULT_BATCH_SIZE,
    dtype: Annotated[
        str, option(help="auto (the checkpoint's), bfloat16, float16 or float32.")
    ] = "auto",
    revision: Annotated[str | None, option(help="Branch, tag or commit on the hub.")] = None,
    device: Annotated[str, option(help="auto (all GPUs, else CPU), cpu, cuda:1 ...")] = "auto",
    attention: Annotated[
        str | None, option(help="sdpa, eager, flash_attention_2 ... (default: the model's)")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run some drawn scenes alone and in batches, and say whether the features can be trusted.

    Exits with 1 if a check fails.
    """
    require_extra()
    from savs.pipeline.extraction.checkup import check_up

    say(f"loading {model}")
    loading: dict[str, Any] = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "attention": attention,
    }
    found = check_up(model, batch_size, **loading)
    if json:
        print_json(found.to_json())
    else:
        for name, value in found.facts.items():
            print(f"{name.ljust(max(map(len, found.facts)))}  {value}")
        print()
        marks = {True: "yes", False: "NO", None: "-"}
        rows = [[check.name, marks[check.passed]] for check in found.checks]
        print_table(["check", "holds"], rows)
        for check in found.checks:
            say(f"{check.name}: {check.what}")
        say(found.verdict)
    if not found.passed:
        raise typer.Exit(exits.FAILURE)
