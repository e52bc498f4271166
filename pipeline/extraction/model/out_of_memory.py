"""How libraries say that a device, or the machine, has no memory left."""

import torch

SIGNS = (
    *(
        "out of memory",
        "_STATUS_ALLOC_FAILED",
        "HOST_ALLOCATION_FAILED",
    ),  # CUDA and its libraries, MPS
    *("can't allocate memory", "not enough memory"),  # the CPU
)
"""What torch says in a RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says so."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
