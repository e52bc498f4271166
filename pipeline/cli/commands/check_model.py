"""`savs check-model`: prove on one's own checkpoint that features can be trusted."""

from typing import Annotated, Any

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.model import (
    AdapterOption,
    AttentionOption,
    CodeOption,
    DeviceOption,
    DtypeOption,
    KwargsOption,
    RevisionOption,
    TrustOption,
    parse_kwargs,
)
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, option
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.extraction.stage import DEFAULT_BATCH_SIZE, require_extra


def check_model_command(
    model: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id, folder, or `demo`.")],
    batch_size: Annotated[
        int, option(min=2, help="The largest batch to compare with single examples.")
    ] = DEFAULT_BATCH_SIZE,
    dtype: DtypeOption = "auto",
    revision: RevisionOption = None,
    device: DeviceOption = "auto",
    attention: AttentionOption = None,
    adapter: AdapterOption = None,
    model_code: CodeOption = None,
    model_kwargs: KwargsOption = None,
    trust_remote_code: TrustOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run some drawn scenes alone and in batches, and say whether the features can be trusted.

    Exits with 1 if a check fails.
    """
    require_extra()
    from savs.pipeline.extraction.checks.check_model import check_up

    say(f"loading {model}")
    loading: dict[str, Any] = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "attention": attention,
        "adapter": adapter,
        "model_code": model_code,
        "model_kwargs": parse_kwargs(model_kwargs),
        "trust_remote_code": trust_remote_code,
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
