"""The memory plan of a model that is about to be loaded onto a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...messages import Note
from ..device_memory import free_bytes
from ..load_options import LoadOptions
from ..unet.config import UNetConfig
from ..whisper.encoder import WhisperEncoder
from .estimate import count_weights
from .plan import MemoryPlan, Networks, plan_memory


def fit_device(
    unet: UNetConfig,
    vae: Mapping[str, Any],
    resolution: int,
    whisper: WhisperEncoder,
    device: torch.device,
    dtype: torch.dtype,
    options: LoadOptions,
) -> tuple[MemoryPlan | None, tuple[Note, ...]]:
    """The plan for `device` as it is now, and what it lowers; None where nothing tells how much memory is free.

    A precision that was asked for by name is kept.
    """
    free = free_bytes(device)
    if free is None:
        return None, ()
    networks = Networks(
        unet,
        vae,
        resolution,
        options.window_frames,
        other_bytes=count_weights(whisper) * whisper.dtype.itemsize,
    )
    wanted = MemoryPlan.unlimited(resolution, dtype, options.offload, options.window_batch)
    return plan_memory(networks, wanted, free, may_lower_precision=options.precision == "auto")
