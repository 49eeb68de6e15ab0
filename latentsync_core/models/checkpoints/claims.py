"""Compares what a network's config claims with what its file of weights holds, before the network is built from it.

Layers are made by the thousand, and tables of positions really take memory, even on PyTorch's meta device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch

from ...errors import ModelError
from ..names import first_line, shown
from ..unet.config import UNetConfig

MOST_LEVELS = 16  # of a network that halves pictures; the released ones have 4
FREE_SIZES = ("sample_size",)  # settings of pictures, not of weights
# What building a network from a config raises where a value is of the wrong kind or impossible.
MISBUILT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

T = TypeVar("T")


def built(build: Callable[[], T], what: str, remedy: str) -> T:
    """What `build` gives; ModelError, from `what` to `remedy`, where the config or the tensors won't do for it."""
    try:
        return build()
    except MISBUILT as problem:
        raise ModelError(f"{what} describes no network that can be built ({first_line(problem)}); {remedy}.") from None


def check_unet(config: UNetConfig, tensors: Mapping[str, torch.Tensor], what: str, remedy: str) -> None:
    """ModelError, from `what` to `remedy`, for a U-Net that is larger than its weights can be."""
    held = _Held(tensors, what, remedy)
    held.allow_size(max(*config.block_channels, config.audio_width, config.in_channels, config.out_channels))
    motion = config.motion
    temporal = motion.blocks * motion.attentions if motion else 1
    levels = len(config.block_channels)
    held.allow_levels(levels)
    held.allow_layers(levels * config.resnets_per_block * max(temporal, 1))
    if motion:
        heads = motion.heads
        if not isinstance(heads, int) or heads < 1 or any(channels % heads for channels in config.block_channels):
            raise ModelError(f"{what} has {shown(heads)} motion heads, which can't share its channels; {remedy}.")
        tables = 2 * levels * (config.resnets_per_block + 1) * temporal
        held.allow_positions(tables * motion.positions * max(config.block_channels))


def check_vae(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], what: str, remedy: str) -> None:
    """The same of the image autoencoder, whose config is diffusers', and of SyncNet, whose is upstream's."""
    held = _Held(tensors, what, remedy)
    for key, value in config.items():
        if key not in FREE_SIZES:
            held.allow_size(max(_whole_numbers(value), default=0))
    levels = max((len(value) for value in config.values() if isinstance(value, list)), default=0)
    held.allow_levels(levels)
    held.allow_layers(levels * max(_whole_numbers(config.get("layers_per_block")), default=0))


def check_whisper(widths: tuple[int, ...], layers: int, tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """The same of a Whisper encoder."""
    held = _Held(tensors, what, "give an unchanged tiny or small model")
    held.allow_size(max(widths))
    held.allow_layers(layers)


class _Held:
    """How much there is in a file of weights."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], what: str, remedy: str) -> None:
        self._what, self._remedy = what, remedy
        self._count = len(tensors)
        full = [tensor.shape for tensor in tensors.values() if tensor.numel()]
        self._widest = max((max(shape, default=1) for shape in full), default=0)
        self._values = sum(map(math.prod, full))

    def allow_size(self, size: int) -> None:
        self._refuse_beyond("as a size", size, self._widest)

    def allow_layers(self, layers: int) -> None:
        self._refuse_beyond("layers", layers, self._count)

    def allow_levels(self, levels: int) -> None:
        self._refuse_beyond("levels", levels, MOST_LEVELS)

    def allow_positions(self, values: int) -> None:
        self._refuse_beyond("values in tables of positions", values, self._values)

    def _refuse_beyond(self, name: str, claimed: int, most: int) -> None:
        if claimed > most:
            raise ModelError(
                f"{self._what} claims {shown(claimed)} {name}, where its weights can have {most} at most; "
                f"{self._remedy}."
            )


def _whole_numbers(value: Any) -> Iterator[int]:
    """The whole numbers in a setting; lists and objects in it count, truth values don't."""
    if isinstance(value, (list, dict)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(entry)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
