"""The image autoencoder: face crops to latents and back, behind a two-method protocol.

The autoencoder is Stable Diffusion's (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), in diffusers' class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from ..errors import ModelError
from ..messages import Note
from ..required_packages import importing
from .device_memory import OUT_OF_MEMORY, release_unused

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SCALING_FACTOR = 0.18215  # latents are the autoencoder's values times this, whatever its own config says
PIXELS_PER_LATENT = 8  # a side
SD_VAE_CONFIG = {  # of sd-vae-ft-mse, as diffusers names its sizes
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 256,
}
# The published file is older than the names that diffusers now gives the parts of its attention.
LEGACY_ATTENTION_KEYS = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# Pictures that pass through the autoencoder together, in pixels: on a GPU as many as 3 GB hold, at some 3 KB a pixel;
# on a CPU as many as its caches hold, which takes two thirds of the time that larger chunks take.
CHUNK_PIXELS, CPU_CHUNK_PIXELS = 4 * 512 * 512, 8 * 128 * 128


@runtime_checkable
class LatentCodec(Protocol):
    """Turns pictures into the U-Net's latents and back; ComfyUI's VAE can be fitted to it as well as diffusers'."""

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Scaled latents (n, 4, H/8, W/8) of pictures (n, 3, H, W) in [-1, 1]: the mean of the encoder's distribution,
        or with `noise` (n, 4, H/8, W/8) the sample mean + deviation * noise."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, 8h, 8w) of scaled latents (n, 4, h, w): about [-1, 1], not clamped."""
        ...


class DiffusersCodec:
    """A LatentCodec over diffusers' AutoencoderKL. It takes tensors from any device in any floating dtype and gives
    float32 on its own device; only few pictures at a time pass through, so memory doesn't grow with their number. Where
    the device runs out of memory all the same, half as many pass through from then on, and `notes` says so."""

    def __init__(self, vae: AutoencoderKL, chunk_pixels: int | None = None) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.chunk_pixels = chunk_pixels  # that pass through together; None: as suits the device
        self.notes: tuple[Note, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], device: torch.device | str | None = None) -> DiffusersCodec:
        """Builds it from a diffusers config, `device="meta"` without any memory. Raises ModelError for another class or
        another number of latent channels."""
        with importing("diffusers"):
            from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        if config.get("_class_name") != "AutoencoderKL" or config.get("latent_channels", 4) != 4:
            raise ModelError(
                f"The VAE's config is of {config.get('_class_name')!r} with {config.get('latent_channels', 4)} latent "
                "channels; LatentSync works with sd-vae-ft-mse, an 'AutoencoderKL' with 4."
            )
        # Older diffusers lack settings that newer ones write.
        known = inspect.signature(AutoencoderKL.__init__).parameters
        settings = {key: value for key, value in config.items() if key in known}
        with torch.device(device or "cpu"):
            return cls(AutoencoderKL(**settings))

    @property
    def config(self) -> dict[str, Any]:
        """The config that `from_config` builds the same autoencoder from."""
        settings = {key: value for key, value in self.vae.config.items() if not key.startswith("_")}
        return {"_class_name": "AutoencoderKL", **settings}

    @property
    def device(self) -> torch.device:
        return self.vae.encoder.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.vae.encoder.conv_in.weight.dtype

    @torch.no_grad()
    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """See LatentCodec.encode. H and W must be multiples of 8 (ModelError)."""
        if images.shape[-1] % 8 or images.shape[-2] % 8:
            raise ModelError(f"The VAE takes pictures whose sides are multiples of 8, not {tuple(images.shape)}.")

        def encode(at: int, chunk: torch.Tensor) -> torch.Tensor:
            distribution = self.vae.encode(chunk.to(self.dtype)).latent_dist
            latent = distribution.mean.float()
            if noise is not None:
                latent = latent + distribution.std.float() * noise[at : at + len(chunk)].to(latent)
            return latent * SCALING_FACTOR

        return self._in_chunks(images, 1, encode)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See LatentCodec.decode."""

        def decode(_at: int, chunk: torch.Tensor) -> torch.Tensor:
            return self.vae.decode((chunk.float() * (1 / SCALING_FACTOR)).to(self.dtype)).sample.float()

        return self._in_chunks(latents, PIXELS_PER_LATENT**2, decode)

    def _in_chunks(
        self, batch: torch.Tensor, pixels_per_value: int, run: Callable[[int, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Joins what `run(at, chunk)` makes of the batch's parts on our device; at least one picture each."""
        pixels = batch.shape[-1] * batch.shape[-2] * pixels_per_value
        default = CPU_CHUNK_PIXELS if self.device.type == "cpu" else CHUNK_PIXELS
        results, at = [], 0
        while at < len(batch):
            size = min(max(1, (self.chunk_pixels or default) // pixels), len(batch) - at)
            try:
                results.append(run(at, batch[at : at + size].to(self.device)))
                at += size
                continue
            except OUT_OF_MEMORY:
                if size == 1:
                    raise
            # Outside of the clause, whose traceback holds the tensors of the failed attempt.
            self.chunk_pixels = size // 2 * pixels
            self.notes = (Note(f"memory ran out: the autoencoder takes {size // 2} of {size} pictures at once"),)
            release_unused(self.device)
        return torch.cat(results)


def rename_legacy_keys(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The VAE's tensors under the names that diffusers now uses, attention weights as matrices."""
    renamed = {}
    for key, tensor in tensors.items():
        *path, layer, kind = key.split(".")
        if "attentions" in path and layer in LEGACY_ATTENTION_KEYS:
            key = ".".join([*path, LEGACY_ATTENTION_KEYS[layer], kind])
            tensor = tensor.flatten(1) if kind == "weight" else tensor
        renamed[key] = tensor
    return renamed
