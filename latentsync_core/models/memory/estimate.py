"""Peak memory of the networks, counted by running them on tensors that have shapes and dtypes but hold no values.

What is counted is therefore what the networks' code allocates, whatever their config. Attention is counted as the fused
kernels compute it, which keep no table of scores. What a device's libraries take besides is for the caller to add.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..unet.config import UNetConfig
from ..unet.unet import UNet
from ..vae import PIXELS_PER_LATENT, DiffusersCodec

MAX_AUDIO_TOKENS = 130  # of a frame: Whisper small's, the largest that LatentSync was trained with


def count_weights(network: torch.nn.Module) -> int:
    """How many values a network's weights have."""
    return sum(weight.numel() for weight in network.parameters())


@functools.lru_cache(maxsize=64)
def denoising_values(config: UNetConfig, resolution: int, frames: int) -> int:
    """The most values that one denoising step of one window holds at a time, its inputs included and weights not.

    Bytes are these times the dtype's size, and times the windows that pass through together: with guidance two each.

    Args:
        resolution: pixels of the square crops.
        frames: of the window.
    """
    size = resolution // PIXELS_PER_LATENT
    unet = UNet.from_config(config, dtype=torch.float32, device="meta")

    def step() -> torch.Tensor:
        sample = torch.empty(1, config.in_channels, frames, size, size, device="meta")
        audio = torch.empty(frames, MAX_AUDIO_TOKENS, config.audio_width, device="meta")
        return unet(sample, 0.0, audio)

    return peak_bytes(step, unet) // torch.float32.itemsize


def decoding_values(config: Mapping[str, Any], resolution: int) -> int:
    """The same of decoding one picture of `resolution` pixels with the autoencoder of diffusers' `config`."""
    return _decoding_values(json.dumps(config), resolution)


@functools.lru_cache(maxsize=16)
def _decoding_values(config: str, resolution: int) -> int:
    codec = DiffusersCodec.from_config(json.loads(config), device="meta")
    size = resolution // PIXELS_PER_LATENT
    peak = peak_bytes(lambda: codec.vae.decode(torch.empty(1, 4, size, size, device="meta")), codec.vae)
    return peak // torch.float32.itemsize


def peak_bytes(run: Callable[[], object], network: torch.nn.Module) -> int:
    """The most bytes that tensors made by `run` take at one time; those of `network` itself don't count."""
    with torch.no_grad(), _FusedAttention(), StorageMeter(network) as meter:
        run()
    return meter.peak


class _FusedAttention(TorchFunctionMode):
    """Gives attention's result its shape at once; on the meta device PyTorch would make the table of all scores."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, _key, value = args[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


class StorageMeter(TorchDispatchMode):
    """Follows the storages that operators give out, until nothing holds them any more."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.peak = 0
        self._own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.untyped_storage()._cdata not in self._own:
                storage = value.untyped_storage()
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._alive = {key: (held, size) for key, (held, size) in self._alive.items() if not held.expired()}
        self.peak = max(self.peak, self.held)
        return result

    @property
    def held(self) -> int:
        """Bytes of the storages that something holds."""
        return sum(size for storage, size in self._alive.values() if not storage.expired())
