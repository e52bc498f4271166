"""Try every architecture that transformers knows as a multimodal model, and write down what came.

    python scripts/verify_families.py --out pipeline/extraction/families.json

Those that `tests/support` builds with their real processors are tried on text and images; of the
others a small random model is tried on text. `savs models` prints the file.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

import transformers
from families.trying import Outcome, try_structure, try_whole
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import logging

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Try all families and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    found: list[Outcome] = []
    for family, model_class in sorted(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.items()):
        found.append(_try(family, str(model_class)))
        print(f"{family}: {found[-1].status}", file=sys.stderr, flush=True)
    value = {
        "transformers": transformers.__version__,
        "families": [outcome.to_json() for outcome in found],
    }
    options.out.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _try(family: str, model_class: str) -> Outcome:
    sys.path.insert(0, str(ROOT / "tests/support"))
    from tiny_models import BUILDERS, LIMITED, build  # type: ignore[import-not-found]

    if family not in BUILDERS | LIMITED:
        return try_structure(family, model_class)
    with tempfile.TemporaryDirectory() as folder:
        return try_whole(family, build(family, Path(folder)))


if __name__ == "__main__":
    main()
