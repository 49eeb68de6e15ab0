"""Networks of seeded random weights for benchmarks.sampling: ours, and the official code's with the same ones."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import torch

from latentsync_core.models.unet.unet import UNet

SEED, SCALE = 7, 0.02  # of normal weights: small, so that nothing overflows in half precision


def random_network(
    network: torch.nn.Module, device: torch.device, dtype: torch.dtype = torch.float32
) -> torch.nn.Module:
    """Gives a network that was built on the meta device weights of its own; norms and tables stay what they are."""
    generator = torch.Generator().manual_seed(SEED)
    state, turn = {}, device.type != "cpu" or isinstance(network, UNet)  # as the engine loads them
    for key, tensor in network.state_dict().items():
        if tensor.is_meta:
            values = torch.randn(tensor.shape, generator=generator) * SCALE
            tensor = 1 + values if tensor.ndim == 1 and key.endswith("weight") else values
        layout = torch.channels_last if turn and tensor.ndim == 4 else torch.preserve_format
        state[key] = tensor.to(device, dtype, memory_format=layout)
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def reference_unet(checkout: Path, ours: UNet) -> torch.nn.Module:
    """The official code's U-Net of the same config, with `ours`' weights. Its code is imported, not part of this."""
    official = reference_module(checkout, "latentsync.models.unet").UNet3DConditionModel
    with torch.device("meta"):
        network = official.from_config(ours.config.to_dict() | {"sample_size": 64})
    state = {key: tensor.contiguous() for key, tensor in ours.state_dict().items()}  # as its own loading lays them out
    torch.nn.Module.load_state_dict(network, state, strict=True, assign=True)  # its own takes no assign
    return network.requires_grad_(False).eval()


def reference_module(checkout: Path, name: str) -> ModuleType:
    """A module of the official code, which must be able to import what it needs."""
    utilities = ModuleType("latentsync.utils.util")  # imports plotting and video packages; the network only logs by it
    utilities.zero_rank_log = lambda *_: None
    sys.modules[utilities.__name__] = utilities
    sys.path.insert(0, str(checkout))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(checkout))
