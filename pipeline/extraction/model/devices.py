"""What torch says of devices: which it sees, how values get there, that one has no memory left."""

from typing import Any

import torch


def describe_devices() -> dict[str, Any]:
    """Return torch's threads, and name and bytes of memory of each device other than the CPU."""
    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    facts: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "gpus": [
            {"name": gpu.name, "bytes": gpu.total_memory, "capability": f"{gpu.major}.{gpu.minor}"}
            for gpu in gpus
        ],
        "mps": torch.backends.mps.is_available(),
    }
    if gpus:
        facts |= {"cuda": torch.version.cuda, "bfloat16": torch.cuda.is_bf16_supported()}
    elif torch.version.cuda:
        facts["cuda"] = f"built for {torch.version.cuda}, and no GPU is visible"
    return facts


def moved(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return values on a device; to a CUDA GPU they are on their way while the caller goes on.

    CUDA takes a copy of host memory that is not page-locked before it returns. Other devices, such
    as MPS and XPU, may read it later, when it is overwritten: there the caller waits.
    """
    return values.to(device, non_blocking=device.type == "cuda")


SIGNS = (
    "out of memory",
    "_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",
    "can't allocate memory",
    "not enough memory",
)
"""What torch says in a RuntimeError: of CUDA, its libraries and MPS; the last two of the CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says so."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
