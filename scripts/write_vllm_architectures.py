"""Write down which architectures the installed vLLM has classes of its own for.

    build/vllm/bin/python scripts/write_vllm_architectures.py --out pipeline/extraction/vllm.json

`savs models CHECKPOINT` looks them up where vLLM is not installed.
"""

import argparse
import json
from pathlib import Path

from savs.pipeline.extraction.model.vllm_model import installed_architectures


def main() -> None:
    """Read vLLM's registry and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    version, names = installed_architectures()
    value = {"vllm": version, "architectures": sorted(names)}
    options.out.write_text(json.dumps(value) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
