"""The one room that asks which kind a label is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = (
    r"\b(ONE|MANY|ORDINAL|REGRESSION|NUMBERS|OneClass|ManyLabels|Regression|Ordinal|OWN_ANSWER"
    r"|AnswerIsRight|MANY_LABELS|ORDINALS|REGRESSIONS|LabelSets|OneOfClasses)\b"
)
"""Names of kinds in the code."""
REGISTRIES = {
    "datasets/rows/label_kinds.py": "how rows spell them",
    "datasets/benchmarks/audioset.py": "its rows have many labels",
    "pipeline/targets": "the room",
    "pipeline/running/option_texts.py": "how --task spells separators and columns",
    "pipeline/classifying/heads_classifier.py": "what scikit-learn calls labels",
    "pipeline/evaluation/results.py": "a result without a selection has one class",
    "pipeline/evaluation/assessment.py": "a result without a selection has one class",
    "pipeline/selection/selection_config.py": "the default of a stored name",
    "pipeline/classifying/bundle/files": "a program that is copied, and reads the stored name",
}


def test_nothing_outside_asks_which_kind_a_label_is() -> None:
    asking = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for room in ("pipeline", "datasets", "stores", "public", "foundation")
        for path in sorted((ROOT / room).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith((*REGISTRIES, "datasets/benchmarks/shapes"))
        for line in path.read_text("utf-8").splitlines()
        if re.search(NAMES, line) and not re.match(r"\s*(ONE = 1|are_counts = total > ONE)", line)
    ]
    assert asking == []
