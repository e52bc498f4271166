r"""Train a LoRA adapter on the training split, with the inputs and options of `savs extract`.

    python scripts/train_lora.py general --train train.jsonl --test test.jsonl \
        --model ID --out adapter
    savs extract general --train train.jsonl --test test.jsonl \
        --model ID --adapter adapter --answers labels --out adapted

Needs `pip install peft`. Several GPUs: `accelerate launch scripts/train_lora.py ...`.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from savs.foundation.errors import SavsError
from savs.pipeline.cli.options.fields import parameters_of_fields, take_fields
from savs.pipeline.cli.output import print_line, say
from savs.pipeline.extraction.model.model_options import ModelOptions, require_extra
from savs.pipeline.inputs.input_options import InputOptions

app = typer.Typer(add_completion=False)


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its parameters `inputs` and `model`, objects of options."""
    kinds = {"inputs": InputOptions, "model": ModelOptions}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += parameters_of_fields(kinds[name]) if name in kinds else own

    @wraps(command)
    def collected(**values: Any) -> None:
        try:
            objects = {name: kind(**take_fields(kind, values)) for name, kind in kinds.items()}
        except SavsError as error:
            raise typer.BadParameter(str(error)) from error
        command(**values, **objects)

    vars(collected)["__signature__"] = inspect.Signature(parameters)
    return collected


@app.command(help=__doc__)
@expand_options
def train_lora(
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            help="A name from `savs benchmarks`, or a Python file (mine.py).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the adapter; must not exist.")],
    inputs: InputOptions,
    model: ModelOptions,
    rank: Annotated[int, typer.Option(help="Rank of the updates.")] = 16,
    alpha: Annotated[float, typer.Option(help="Updates are scaled by alpha / rank.")] = 32.0,
    targets: Annotated[
        str, typer.Option(help="Linear modules that get an adapter, joined by commas.")
    ] = "q_proj,k_proj,v_proj,o_proj",
    train_vision: Annotated[
        bool, typer.Option("--train-vision", help="Adapt the vision tower, too.")
    ] = False,
    dropout: Annotated[float, typer.Option(help="Dropout of the adapter.")] = 0.0,
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Examples of a step, in each process.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="At the first step; falls to 0.")] = 2e-4,
    lora_seed: Annotated[int, typer.Option(help="Seed of the adapter and of the order.")] = 0,
) -> None:
    """Train and save an adapter; print its folder."""
    require_extra()
    from lora.options import LoraOptions
    from lora.training import train

    from savs.pipeline.extraction.model_run import ModelRun
    from savs.pipeline.extraction.run_options import RunOptions
    from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
    from savs.pipeline.inputs.source import Source, make_fetching

    if out.exists():
        raise typer.BadParameter(f"--out {out} is there already; pass another, or remove it")
    if model.adapter is not None:
        raise typer.BadParameter("--adapter is for extract; this script makes one")
    try:
        options = LoraOptions(
            rank=rank,
            alpha=alpha,
            targets=tuple(filter(None, targets.split(","))),
            vision=train_vision,
            dropout=dropout,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=lora_seed,
        )
        chosen = choose_benchmark(
            benchmark, columns=inputs.columns, question=inputs.question, labels=inputs.labels
        )
        source = Source(chosen, inputs, make_fetching(inputs, None))
        examples = source.examples()
        for line in source.notes(examples):
            say(line)
        train(ModelRun(model, RunOptions()).load(), source, examples["train"], options, out, say)
    except SavsError as error:
        say(f"error: {error}")
        raise typer.Exit(1) from error
    print_line(str(out))


if __name__ == "__main__":
    app()
