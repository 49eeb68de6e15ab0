"""Compares the sizes in a network's config with its weights file, before the network is built.

Layers are made by the thousand, and tables of positions really take memory, even on PyTorch's meta device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch

from ...errors import ModelError
from ...messages import Remedy
from ..names import first_line, one_line
from ..unet.config import UNetConfig

MAX_LEVELS = 16  # of a network that halves pictures; the released ones have 4
UNCHECKED_KEYS = ("sample_size",)  # settings of pictures, not of weights
# What building a network from a config raises where a value is of the wrong kind or impossible.
BUILD_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

T = TypeVar("T")


def build_or_raise(build: Callable[[], T], what: str, remedy: Remedy | str) -> T:
    """What `build` gives; ModelError, from `what` to `remedy`, where the config or the tensors won't do for it."""
    try:
        return build()
    except BUILD_ERRORS as problem:
        raise ModelError(f"{what} describes no network that can be built ({first_line(problem)}).", remedy) from None


def check_unet(config: UNetConfig, tensors: Mapping[str, torch.Tensor], what: str, remedy: Remedy | str) -> None:
    """ModelError, from `what` to `remedy`, for a U-Net that is larger than its weights can be."""
    size_limits = _SizeLimits(tensors, what, remedy)
    size_limits.check_size(max(*config.block_channels, config.audio_width, config.in_channels, config.out_channels))
    motion = config.motion
    temporal = motion.blocks * motion.attentions if motion else 1
    levels = len(config.block_channels)
    size_limits.check_levels(levels)
    size_limits.check_layers(levels * config.resnets_per_block * max(temporal, 1))
    if motion:
        heads = motion.heads
        if not isinstance(heads, int) or heads < 1 or any(channels % heads for channels in config.block_channels):
            raise ModelError(f"{what} has {one_line(heads)} motion heads, which can't share its channels.", remedy)
        tables = 2 * levels * (config.resnets_per_block + 1) * temporal
        size_limits.check_positions(tables * motion.positions * max(config.block_channels))


def check_vae(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], what: str, remedy: Remedy | str) -> None:
    """The same of the image autoencoder, whose config is diffusers', and of SyncNet, whose is upstream's."""
    size_limits = _SizeLimits(tensors, what, remedy)
    for key, value in config.items():
        if key not in UNCHECKED_KEYS:
            size_limits.check_size(max(_integers(value), default=0))
    levels = max((len(value) for value in config.values() if isinstance(value, list)), default=0)
    size_limits.check_levels(levels)
    size_limits.check_layers(levels * max(_integers(config.get("layers_per_block")), default=0))


def check_whisper(widths: tuple[int, ...], layers: int, tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """The same of a Whisper encoder."""
    size_limits = _SizeLimits(tensors, what, "give an unchanged tiny or small model")
    size_limits.check_size(max(widths))
    size_limits.check_layers(layers)


class _SizeLimits:
    """How much there is in a file of weights."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], what: str, remedy: Remedy | str) -> None:
        self._what, self._remedy = what, remedy
        self._tensor_count = len(tensors)
        full = [tensor.shape for tensor in tensors.values() if tensor.numel()]
        self._max_dimension = max((max(shape, default=1) for shape in full), default=0)
        self._value_count = sum(map(math.prod, full))

    def check_size(self, size: int) -> None:
        self._check_limit("as a size", size, self._max_dimension)

    def check_layers(self, layers: int) -> None:
        self._check_limit("layers", layers, self._tensor_count)

    def check_levels(self, levels: int) -> None:
        self._check_limit("levels", levels, MAX_LEVELS)

    def check_positions(self, values: int) -> None:
        self._check_limit("values in tables of positions", values, self._value_count)

    def _check_limit(self, name: str, claimed: int, limit: int) -> None:
        if claimed > limit:
            raise ModelError(
                f"{self._what} claims {one_line(claimed)} {name}, where its weights can have {limit} at most.",
                self._remedy,
            )


def _integers(value: Any) -> Iterator[int]:
    """The whole numbers in a setting; lists and objects in it count, truth values don't."""
    if isinstance(value, (list, dict)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _integers(entry)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
