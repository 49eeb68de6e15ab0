"""Keeps a U-Net's weights in main memory and moves each layer to the device when it runs, for small cards."""

from __future__ import annotations

import torch

from ...required_packages import importing
from .attention import SpatialTransformer
from .blocks import Downsample, ResnetBlock, Upsample
from .motion import MotionModule
from .unet import UNet

# The smallest modules that hold nearly all weights and are called with tensors only. Whole levels won't do: their list
# of skips must stay the caller's own, and accelerate hands a copy of it on.
OFFLOADED_MODULES = (ResnetBlock, SpatialTransformer, MotionModule, Downsample, Upsample)


def offload(unet: UNet, device: torch.device) -> UNet:
    """Readies a `unet` that lies in main memory for running on `device`, in place.

    The first and last layers move there for good, so that its first parameter still tells device and dtype.
    """
    with importing("accelerate"):
        from accelerate import cpu_offload

    for layer in (unet.conv_in, unet.time_embedding, unet.conv_norm_out, unet.conv_out):
        layer.to(device)
    for module in list(unet.modules()):
        if isinstance(module, OFFLOADED_MODULES):
            cpu_offload(module, execution_device=device, offload_buffers=True)
    return unet
