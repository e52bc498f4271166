"""What a shard records about how it was made."""

import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.running.launchers import Rank

DRIVER = Path("/sys/module/nvidia/version")
"""Where Linux tells the version of NVIDIA's driver."""
PACKAGES = ("savs", "torch", "transformers", "h5py", "numpy", "pillow")


def run_record(model: LoadedModel, rank: Rank, writer: str) -> dict[str, Any]:
    """Return rank, time, attention implementation, device and versions, as JSON has them.

    `writer` is the id of this process among those that write to the store.
    """
    packages = [*PACKAGES, *(["av"] if find_spec("av") else [])]
    return {
        "attention": model.model.config._attn_implementation,
        "device": str(model.device),
        "rank": rank.rank,
        "ranks": rank.ranks,
        "writer": writer,
        "versions": {package: version(package) for package in packages},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **(_gpu(model.device) if model.device.type == "cuda" else {}),
    }


def _gpu(device: torch.device) -> dict[str, Any]:
    return {
        "gpu": torch.cuda.get_device_name(device),
        "gpus": torch.cuda.device_count(),
        "driver": DRIVER.read_text().strip() if DRIVER.exists() else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
