"""A device whose memory ends at a limit: operators fail as CUDA's do once tensors hold more."""

from __future__ import annotations

from typing import Any

import torch

from latentsync_core.models.device_memory import OUT_OF_MEMORY
from latentsync_core.models.memory.estimate import StorageMeter


class CappedMemory(StorageMeter):
    """Within it, PyTorch raises OutOfMemoryError where tensors made within it hold more than `limit` bytes."""

    def __init__(self, network: torch.nn.Module, limit: float) -> None:
        super().__init__(network)
        self.limit, self.failures = limit, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if self.held > self.limit:
            self.failures += 1
            raise OUT_OF_MEMORY(f"Tried to allocate more than {self.limit:.0f} bytes.\nSee the documentation.")
        return result
