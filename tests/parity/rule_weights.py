"""Draws the reference data's random weights again from their rule, so that no weight file has to be carried."""

from __future__ import annotations

import math
import zlib

import torch


def rule_tensor(key: str, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """The float32 weight of state-dict entry `key`: seeded by the key's CRC-32, scaled by its fan-in."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()))
    draw = torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
    if len(shape) >= 2:
        return draw * (1 / math.sqrt(math.prod(shape[1:])))
    if key.endswith(".weight"):
        return 1 + 0.1 * draw
    return 0.02 * draw


@torch.no_grad()
def fill_by_rule(module: torch.nn.Module) -> torch.nn.Module:
    """Gives every parameter of `module` its rule weight, in place; buffers stay."""
    for key, parameter in module.named_parameters():
        parameter.copy_(rule_tensor(key, parameter.shape))
    return module
