"""What a device has free, and how it says that it ran out."""

from __future__ import annotations

import gc
from typing import Any

import torch

# PyTorch before 2.5 knows it under this older name alone. A CPU raises RuntimeError instead, where it raises at all.
OUT_OF_MEMORY: type[BaseException] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)


def free_bytes(device: torch.device) -> int | None:
    """What PyTorch can still take on a device, its own unused blocks included; None where nothing tells, as on CPUs."""
    backend: Any = getattr(torch, device.type, None)
    if device.type == "mps":
        return backend.recommended_max_memory() - backend.driver_allocated_memory()
    if device.type == "cpu" or not hasattr(backend, "mem_get_info"):
        return None
    free, _total = backend.mem_get_info(device)
    return free + backend.memory_reserved(device) - backend.memory_allocated(device)


def release_unused(device: torch.device) -> None:
    """Gives blocks that no tensor uses any more back to the device."""
    gc.collect()  # an error's traceback may be part of a circle that holds tensors
    backend: Any = getattr(torch, device.type, None)
    if hasattr(backend, "empty_cache"):
        backend.empty_cache()
