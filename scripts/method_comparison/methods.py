"""The methods: what each runs, by the public functions, and the commands that do the same."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train_lora import app as train_lora

from method_comparison.tasks import Draw
from savs import Evaluation, evaluate, extract, save_evaluation, select
from savs.pipeline.evaluation.captions import compares_captions
from savs.pipeline.evaluation.results import Results
from savs.pipeline.names import OWN_ANSWERS
from savs.stores import FeatureStore
from savs.stores.format.layout import CLASSES

CPU = "cpu.json"
"""Beside a store: the processor seconds that it took."""
OF_CLASSES = ("tip-adapter", "tip-adapter-cv", "lp-plus-plus")
"""Readouts of a dual encoder that need texts of classes: captions are none."""


@dataclass(frozen=True, slots=True)
class Method:
    """A run of a model, and the readouts of the store that it leaves."""

    name: str
    """Of its folder."""
    model: str
    readouts: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of `extract`."""
    lora: Mapping[str, Any] = field(default_factory=dict)
    """Options of `scripts/train_lora.py`; without any, nothing is trained."""
    learns: bool = True
    """Whether answers depend on the training examples, so that each draw runs."""

    def run(self, files: Draw, folder: Path, number: int) -> None:
        """Run the model on a draw and save all results, unless all are there."""
        store = folder / "store"
        if not (folder / CPU).exists():
            shutil.rmtree(folder, ignore_errors=True)  # half of a run: its seconds are not known
            started = time.process_time()
            if self.lora:
                with redirect_stdout(sys.stderr):
                    code = train_lora(self._training(files, folder, number), standalone_mode=False)
                if code:
                    raise RuntimeError(f"scripts/train_lora.py ended with {code}")
            features = extract(files.benchmark, **self._extraction(files, folder), out=store).store
            spent = {"cpu_s": time.process_time() - started}
            for readout in self.readouts:
                if (evaluation := result_of(features, readout)) is not None:
                    save_evaluation(evaluation, Results(store).place(readout).folder)
            (folder / CPU).write_text(json.dumps(spent) + "\n")

    def commands(self, files: Draw, folder: Path, number: int, ran: Path) -> list[str]:
        """Return the commands that do in a folder what `run` did in the folder `ran`."""
        store, lines = folder / "store", []
        if self.lora:
            training = self._training(files, folder, number)
            lines.append(shlex.join(["python", "scripts/train_lora.py", *training]))
        keywords = self._extraction(files, folder) | {"out": store}
        lines.append(shlex.join(["savs", "extract", files.benchmark, *_options(keywords)]))
        for readout in filter(lambda name: has_result(ran, name), self.readouts):
            if Results(ran / "store").place(readout).is_selected:  # heads were selected
                lines.append(f"savs select {store} --readout {readout} --no-estimate")
            lines.append(f"savs evaluate {store} --readout {readout}")
        return lines

    def trained(self, train: int) -> int:
        """Return the passes with gradients for so many training examples."""
        return int(self.lora.get("epochs", 0)) * train

    def _extraction(self, files: Draw, folder: Path) -> dict[str, Any]:
        adapter = {"adapter": folder / "adapter"} if self.lora else {}
        model_keywords = {"model": self.model, "dtype": "float32"}
        return files.keywords() | model_keywords | dict(self.options) | adapter

    def _training(self, files: Draw, folder: Path, number: int) -> list[str]:
        keywords = files.keywords() | {"model": self.model, "dtype": "float32"} | dict(self.lora)
        keywords |= {"lora_seed": number, "out": folder / "adapter"}
        return [files.benchmark, *_options(keywords)]


METHODS = (
    Method(
        "heads",
        "demo",
        ("vote", "posterior", "lda", "logistic", "knn", "hec-t", "hec-vt"),
        {"classes": "labels"},
    ),
    Method("labels", "demo", ("zero-shot",), {"answers": "labels"}, learns=False),
    Method("generated", "demo", ("generated",), {"answers": "generate"}, learns=False),
    Method("icl", "demo", ("icl",), {"answers": "labels", "icl_shots": 2}),
    Method(
        "lora",
        "demo",
        ("zero-shot",),
        {"answers": "labels"},
        lora={"epochs": 12, "learning_rate": 0.005},
    ),
    Method("clip", "demo-clip", ("clip", *OF_CLASSES, "logistic", "lda")),
)
"""In the order of the table; the first readout of the first is what others are compared with."""


def result_of(store: FeatureStore, readout: str) -> Evaluation | None:
    """Return what a readout makes of a store; None where its texts are captions instead."""
    if readout in OWN_ANSWERS:
        return evaluate(store, readout)
    if compares_captions(store, readout):
        return evaluate(store, "captions")
    if readout in OF_CLASSES and CLASSES not in store.manifest.plan.splits:
        return None
    return evaluate(store, select(store, readout=readout))


def has_result(folder: Path, readout: str) -> bool:
    """Return whether a readout has a result in the folder of a method."""
    return Results(folder / "store").place(readout).is_evaluated


def _options(keywords: Mapping[str, Any]) -> Sequence[str]:
    words = []
    for name, value in keywords.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words
