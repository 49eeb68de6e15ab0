"""The layer classes that our networks are built from, bound to a dtype and a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class LayerFactory:
    """Makes layers out of `operations`: any object with Linear, Conv2d, GroupNorm and LayerNorm that take torch.nn's
    arguments, dtype and device included. ComfyUI hands in layers that cast when used; the default is torch.nn."""

    operations: Any = nn
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
        return self.operations.Linear(inputs, outputs, bias=bias, dtype=self.dtype, device=self.device)

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """A square convolution padded so that stride 1 keeps the size."""
        sizes = {"kernel_size": kernel, "stride": stride, "padding": kernel // 2}
        return self.operations.Conv2d(inputs, outputs, **sizes, dtype=self.dtype, device=self.device)

    def group_norm(self, groups: int, channels: int, eps: float) -> nn.Module:
        return self.operations.GroupNorm(groups, channels, eps=eps, dtype=self.dtype, device=self.device)

    def layer_norm(self, channels: int) -> nn.Module:
        return self.operations.LayerNorm(channels, dtype=self.dtype, device=self.device)
