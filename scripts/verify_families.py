"""Try every architecture that transformers knows as a multimodal model, and write down what came.

    python scripts/verify_families.py --out pipeline/extraction/families.json

Run `just sounds` before, and this with PYTHONPATH=build/voxtral: Voxtral's packages lie there.
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
from families.reasons import SOUNDS
from families.trying import Outcome, try_structure, try_whole
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Try all families and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--only", nargs="+", help="try these; the others stay as the file has them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    classes = {
        **MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        **MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    }
    of_sounds = {family: classes[family] for family in SOUNDS if family in classes}
    known = dict(sorted({**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **of_sounds}.items()))
    before = json.loads(options.out.read_text("utf-8")) if options.only else {"families": []}
    if options.only and before["transformers"] != transformers.__version__:
        parser.error(
            f"{options.out} is of transformers {before['transformers']}, and this is"
            f" {transformers.__version__}; try all families, without --only"
        )
    outcomes = {family["family"]: family for family in before["families"]}
    for family in options.only or known:
        outcomes[family] = _try(family, str(known[family])).to_json()
        print(f"{family}: {outcomes[family]['status']}", file=sys.stderr, flush=True)
    value = {
        "transformers": transformers.__version__,
        "families": [outcomes[family] for family in known],
    }
    lines = ",\n".join(map(json.dumps, value.pop("families")))
    text = json.dumps(value)[:-1] + f', "families": [\n{lines}\n]}}\n'  # a line each
    options.out.write_text(text, encoding="utf-8")


def _try(family: str, model_class: str) -> Outcome:
    sys.path.insert(0, str(ROOT / "tests/support"))
    from tiny_models import AUDIO, BUILDERS, LIMITED, LIMITS, build  # type: ignore[import-not-found]

    if family not in BUILDERS | LIMITED | AUDIO:
        return try_structure(family, model_class)
    with tempfile.TemporaryDirectory() as folder:
        return try_whole(family, build(family, Path(folder)), LIMITS.get(family, ""))


if __name__ == "__main__":
    main()
