"""`asvspoof-la`: speech that was recorded, or made by a machine (logical access).

Source: Wang et al., ASVspoof 2019, arXiv 1911.01601. Source of the prompt: the public code of CALM,
arXiv 2602.07077.
"""

from collections.abc import Iterator
from functools import partial

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.esc50 import OF_CALM, calm_prompt
from savs.datasets.metrics.metrics import Classes, Units, accuracy, balanced_accuracy, parts_by
from savs.datasets.metrics.ranking import equal_error_rate
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_headless

QUESTION = "Is this audio bonafide or spoofed? \n bonafide\n spoofed"
BONAFIDE = "bonafide"
LABELS = (BONAFIDE, "spoof")
PARTS = {"LA_T_": "train", "LA_D_": "dev", "LA_E_": "eval"}
"""How names of sounds begin -> the part whose folder they are in."""
NAMES = ("speaker", "file", "unused", "attack", "key")
ERRORS = "equal error rate"


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a line of a protocol, or of a JSON file of CALM's code, which has no speakers."""
    if "wav" in row.values:
        yield Fields(
            label=row.choice("mapped_label", LABELS),
            prompt=calm_prompt(row.text("question")),
            media=(row.required_medium("wav"),),
        )
        return
    file = row.text("file")
    if file[:5] not in PARTS:
        raise row.error(f"the sound is called {file!r}", f"expected one of {', '.join(PARTS)}...")
    attack = row.text("attack")
    yield Fields(
        id=file,
        label=row.choice("key", LABELS),
        prompt=calm_prompt(QUESTION),
        media=(f"ASVspoof2019_LA_{PARTS[file[:5]]}/flac/{file}.flac",),
        group=row.text("speaker"),
        category=None if attack == "-" else attack,
    )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Balanced accuracy, equal error rate, accuracy; then the error rate against each attack."""
    real = pl.col("label") == BONAFIDE
    return [
        balanced_accuracy(predictions, classes),
        *equal_error_rate(predictions, BONAFIDE, ERRORS),
        accuracy(predictions, classes),
        *(
            units
            for attack, _ in parts_by(predictions.filter(~real), "category")
            for units in equal_error_rate(
                predictions.filter(real | (pl.col("category") == attack)),
                BONAFIDE,
                f"{ERRORS}, {attack}",
            )
        ),
    ]


ASVSPOOF_LA = Benchmark(
    name="asvspoof-la",
    summary="is this speech recorded, or made by a machine?",
    columns={
        "speaker": "protocol: LA_0001 ...; the group",
        "file": "protocol: name of the sound without .flac; its part is the folder",
        "attack": "protocol: A01 ... A19, or - for recorded speech; the category",
        "key": "protocol: bonafide or spoof",
        **OF_CALM,
    },
    parse_row=parse_row,
    measure=measure,
    read_table=partial(read_headless, names=NAMES, delimiter=" "),
    reads=("label", "correct", "subtask", "cluster", "category", "votes"),
    about=About(
        task="detection of synthetic and converted speech, 10 to 11 % of it recorded",
        metrics=("balanced accuracy", ERRORS, "accuracy", f"{ERRORS}, <attack>"),
        sizes="train 25,380, dev 24,844, eval 71,237 sounds",
        source="Wang et al., arXiv 1911.01601; datashare.ed.ac.uk/handle/10283/3336",
        licence="ODC-By",
        files="--train LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt --test"
        " LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.eval.trl.txt --media-root LA --shots"
        " 20; or LA_*.json of CALM's code",
        sample={
            "speaker": "LA_0079",
            "file": "LA_T_1138215",
            "unused": "-",
            "attack": "-",
            "key": "bonafide",
        },
    ),
)
