"""The memory plan: what is lowered, and in which order, so that sampling fits into what a device has free.

First fewer windows at once, guidance's two halves one after the other, and fewer pictures at once in the autoencoder:
none of these changes a result by more than rounding. Then half precision, and at last weights that wait in main memory.
After each of the latter two the windows and pictures at once are again as many as fit.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...messages import Note, NoteLevel
from ..unet.config import UNetConfig
from ..unet.offload import OFFLOADED_MODULES
from ..unet.unet import UNet
from ..vae import CHUNK_PIXELS, DiffusersCodec
from .estimate import count_weights, decoding_values, denoising_values

RESERVE_BYTES = 500_000_000  # for libraries and their workspaces, which the estimate doesn't see
MARGIN = 1.15  # times the activations: copies inside kernels, and gaps between blocks of memory


@dataclass(frozen=True)
class Networks:
    """What is loaded, and how it is used."""

    unet: UNetConfig
    vae: Mapping[str, Any]  # diffusers' config
    resolution: int  # pixels, of the square crops
    frames: int = 16  # of a window
    guided: bool = True
    other_bytes: int = 0  # of weights beside those of U-Net and autoencoder: Whisper's


@dataclass(frozen=True)
class MemoryPlan:
    """How the networks are loaded and run."""

    dtype: torch.dtype  # of U-Net and autoencoder
    decode_slice: int  # pictures in the autoencoder at once
    offload: bool = False  # the U-Net's weights wait in main memory
    window_batch: int = 1  # windows denoised at once
    halves_in_turn: bool = False  # guidance's two predictions one after the other

    @classmethod
    def unlimited(cls, resolution: int, dtype: torch.dtype, offload: bool = False, window_batch: int = 1) -> MemoryPlan:
        """What is best where memory is no matter."""
        return cls(dtype, max(1, CHUNK_PIXELS // resolution**2), offload, window_batch)


def required_bytes(networks: Networks, plan: MemoryPlan) -> int:
    """The most device memory that loading and sampling take by this plan."""
    return _resident_bytes(networks, plan) + round(MARGIN * max(_denoising(networks, plan), _decoding(networks, plan)))


def plan_memory(
    networks: Networks, wanted: MemoryPlan, free: int, may_lower_precision: bool = True
) -> tuple[MemoryPlan, tuple[Note, ...]]:
    """`wanted` where it takes at most `free` bytes, else as much of it as does; and a note that tells what was lowered.

    Where nothing is small enough, the smallest there is, with a warning: the estimate is cautious.
    """
    needed = required_bytes(networks, wanted)
    if needed <= free:
        return wanted, ()
    plan = wanted
    for dtype, offload in _holdings(wanted, may_lower_precision):
        plan = replace(wanted, dtype=dtype, offload=offload)
        room = (free - _resident_bytes(networks, plan)) / MARGIN
        plan = _fit_denoising(networks, _fit_decoding(networks, plan, room), room)
        if required_bytes(networks, plan) <= free:
            break
    lowest = required_bytes(networks, plan)
    changes = ", ".join(_changes(wanted, plan)) or "nothing that could be lowered"
    fact = f"{_gigabytes(free)} of memory are free on the device, and {_gigabytes(needed)} were needed: {changes}"
    if lowest <= free:
        return plan, (Note(fact),)
    return plan, (Note(f"{fact}; {_gigabytes(lowest)} still are", NoteLevel.WARNING),)


def _holdings(wanted: MemoryPlan, may_lower_precision: bool) -> Iterator[tuple[torch.dtype, bool]]:
    """Precisions, and whether weights wait in main memory, in the order in which they are tried."""
    dtype = wanted.dtype
    yield dtype, wanted.offload
    if may_lower_precision and dtype is torch.float32:
        dtype = torch.float16
        yield dtype, wanted.offload
    if not wanted.offload:
        yield dtype, True


def _fit_denoising(networks: Networks, plan: MemoryPlan, room: float) -> MemoryPlan:
    """Halves the windows at once, and then guidance's batch, until denoising takes no more than `room` bytes."""
    while _denoising(networks, plan) > room:
        if plan.window_batch > 1:
            plan = replace(plan, window_batch=plan.window_batch // 2)
        elif networks.guided and not plan.halves_in_turn:
            plan = replace(plan, halves_in_turn=True)
        else:
            break
    return plan


def _fit_decoding(networks: Networks, plan: MemoryPlan, room: float) -> MemoryPlan:
    """The same for pictures in the autoencoder."""
    while plan.decode_slice > 1 and _decoding(networks, plan) > room:
        plan = replace(plan, decode_slice=plan.decode_slice // 2)
    return plan


def _denoising(networks: Networks, plan: MemoryPlan) -> int:
    windows = plan.window_batch * (2 if networks.guided and not plan.halves_in_turn else 1)
    return windows * denoising_values(networks.unet, networks.resolution, networks.frames) * plan.dtype.itemsize


def _decoding(networks: Networks, plan: MemoryPlan) -> int:
    return plan.decode_slice * decoding_values(networks.vae, networks.resolution) * plan.dtype.itemsize


def _resident_bytes(networks: Networks, plan: MemoryPlan) -> int:
    """What stays on the device: weights, and the reserve."""
    whole, largest = _unet_weights(networks.unet)
    # An offloaded U-Net has one module on the device, and the next one on its way.
    unet = 2 * largest if plan.offload else whole
    return (unet + _vae_weights(json.dumps(networks.vae))) * plan.dtype.itemsize + networks.other_bytes + RESERVE_BYTES


@functools.lru_cache(maxsize=16)
def _unet_weights(config: UNetConfig) -> tuple[int, int]:
    """How many weights a U-Net has, and the largest of its modules that can be offloaded."""
    unet = UNet.from_config(config, device="meta")
    return count_weights(unet), max(count_weights(one) for one in unet.modules() if isinstance(one, OFFLOADED_MODULES))


@functools.lru_cache(maxsize=16)
def _vae_weights(config: str) -> int:
    return count_weights(DiffusersCodec.from_config(json.loads(config), device="meta").vae)


def _changes(before: MemoryPlan, after: MemoryPlan) -> Iterator[str]:
    """What a note says of the steps from one plan to another."""
    if after.window_batch != before.window_batch:
        yield f"{_count(after.window_batch, 'window')} at once instead of {before.window_batch}"
    if after.decode_slice != before.decode_slice:
        yield f"{_count(after.decode_slice, 'picture')} at once in the autoencoder instead of {before.decode_slice}"
    if after.halves_in_turn and not before.halves_in_turn:
        yield "the two predictions of guidance one after the other"
    if after.dtype is not before.dtype:
        yield "half precision (fp16)"
    if after.offload and not before.offload:
        yield "the U-Net's weights wait in main memory"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
