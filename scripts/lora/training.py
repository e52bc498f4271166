"""Train an adapter to answer: the log-likelihood of each whole label, its end of turn included.

This is what `zero-shot` scores, on the same tokens. All weights of the model itself stay frozen.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

import peft
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from lora.options import LoraOptions
from savs.datasets import Example
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.answers import label_tokens
from savs.pipeline.extraction.model.continuation import extended, padded, summed
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.inputs.source import Source
from savs.pipeline.prompts.media.catalogue import shape_of
from savs.pipeline.prompts.media.inputs import Pieces

Row = tuple[Pieces, tuple[int, ...]]
"""A prompt, and the tokens of its label."""


def train(
    model: LoadedModel,
    source: Source,
    examples: Sequence[Example],
    options: LoraOptions,
    out: Path,
    say: Callable[[str], None],
) -> list[float]:
    """Train an adapter on labelled examples and save it; returns the mean loss of each epoch.

    Parameters
    ----------
    model
        The loaded model; it is changed.
    source, examples
        The training split.
    options
        How the adapter is made and trained.
    out
        Folder of the adapter, which must not exist.
    say
        Gets a line an epoch.

    Raises
    ------
    ParameterError
        No module has one of the targets' names.
    MediaError
        An image cannot be read.
    """
    set_seed(options.seed)
    rows = _rows(model, source, examples)
    adapted = peft.get_peft_model(model.model, _config(model, options))
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    total = sum(weight.numel() for weight in adapted.parameters())
    say(
        f"{sum(w.numel() for w in trained):,} of {total:,} weights are trained;"
        f" the vision tower is {'trained, too' if options.vision else 'frozen'}"
    )
    accelerator = Accelerator()
    batches = DataLoader(
        _batches(rows, options),  # pyrefly: ignore[bad-argument-type] - a list is one
        batch_size=1,
        shuffle=True,
        collate_fn=itemgetter(0),
        generator=torch.Generator().manual_seed(options.seed),
    )
    steps = options.epochs * len(batches)
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / (steps + 1))
    adapted, optimiser, batches, schedule = accelerator.prepare(
        adapted, optimiser, batches, schedule
    )
    adapted.train()
    losses = []
    for epoch in range(options.epochs):
        seen = [_step(accelerator, model, adapted, optimiser, schedule, batch) for batch in batches]
        losses.append(sum(seen) / len(seen))
        say(f"epoch {epoch + 1} of {options.epochs}: loss {losses[-1]:.4f}")
    if accelerator.is_main_process:
        _save(accelerator.unwrap_model(adapted), out, model, options, losses)
    accelerator.wait_for_everyone()
    return losses


def _rows(model: LoadedModel, source: Source, examples: Sequence[Example]) -> list[Row]:
    media, encoder = source.media("train"), model.encoder
    pieces = [pieces_of(example, media, encoder) for example in examples]
    labels = list(dict.fromkeys(str(example.label) for example in examples))
    tokens = label_tokens(encoder, labels, pieces[0])
    return [(prompt, tokens[str(e.label)]) for prompt, e in zip(pieces, examples, strict=True)]


def _config(model: LoadedModel, options: LoraOptions) -> peft.LoraConfig:
    """Return the adapter's configuration: the targets of the decoder, and of all with `vision`."""
    decoder = {id(module) for module in model.model.get_decoder().modules()}
    names = [
        name
        for name, module in model.model.named_modules()
        if name.rpartition(".")[2] in options.targets
        and isinstance(module, torch.nn.Linear)
        and (options.vision or id(module) in decoder)
    ]
    if not names:
        known = {n.rpartition(".")[2] for n, m in model.model.named_modules() if _is_linear(m)}
        raise ParameterError(
            f"{model.name} has no linear module called {' or '.join(options.targets)}; it has:"
            f" {', '.join(sorted(known))}"
        )
    return peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # pyrefly: ignore[bad-argument-type] - any number
        lora_dropout=options.dropout,
        target_modules=names,
    )


def _is_linear(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear)


def _batches(rows: Sequence[Row], options: LoraOptions) -> list[list[Row]]:
    """Return the rows in batches, drawn by the seed: the same ones in each epoch.

    A batch has prompts of one shape, see `shape_of`.
    """
    kinds: dict[tuple[int, ...], list[Row]] = {}
    for row in random.Random(f"savs lora {options.seed}").sample(rows, len(rows)):
        kinds.setdefault(shape_of(row[0]), []).append(row)
    size = options.batch_size
    return [
        of_shape[at : at + size]
        for of_shape in kinds.values()
        for at in range(0, len(of_shape), size)
    ]


def _step(
    accelerator: Accelerator,
    model: LoadedModel,
    adapted: Any,
    optimiser: Any,
    schedule: Any,
    rows: Sequence[Row],
) -> float:
    """Train on a batch; returns the mean of - log p(label, end of turn) a token."""
    inputs = model.placed(model.encoder.encode([pieces for pieces, _ in rows]))
    texts = [tokens for _, tokens in rows]
    ids = padded([tokens[:-1] for tokens in texts]).to(model.device)
    arguments = extended(model.model, inputs, ids)
    logits = adapted(**arguments, use_cache=False, logits_to_keep=ids.shape[1] + 1).logits
    counts = torch.tensor([len(tokens) for tokens in texts], device=logits.device)
    loss = -(summed(logits, texts) / counts).mean()
    accelerator.backward(loss)
    optimiser.step()
    schedule.step()
    optimiser.zero_grad()
    return float(loss.detach())


def _save(
    adapted: Any, out: Path, model: LoadedModel, options: LoraOptions, losses: Sequence[float]
) -> None:
    """Save the adapter whole or not at all, with a record of its training."""
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        adapted.save_pretrained(partial)
        record = {"model": model.name, "revision": model.encoder.revision, **asdict(options)}
        record |= {"losses": [round(loss, 6) for loss in losses]}
        (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
