"""The accelerators that torch sees, for a report."""

from typing import Any

import torch


def describe_devices() -> dict[str, Any]:
    """Return torch's threads, and name and bytes of memory of each device beside the CPU."""
    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    found: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "gpus": [
            {"name": gpu.name, "bytes": gpu.total_memory, "capability": f"{gpu.major}.{gpu.minor}"}
            for gpu in gpus
        ],
        "mps": torch.backends.mps.is_available(),
    }
    if gpus:
        found |= {"cuda": torch.version.cuda, "bfloat16": torch.cuda.is_bf16_supported()}
    elif torch.version.cuda:
        found["cuda"] = f"built for {torch.version.cuda}, and no GPU is visible"
    return found
