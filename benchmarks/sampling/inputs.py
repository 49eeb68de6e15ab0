"""What benchmarks.sampling feeds the networks, and the steps of the official code."""

from __future__ import annotations

import resource
import sys

import torch

from latentsync_core.faces.alignment.mouth_mask import latent_mask
from latentsync_core.models.unet.config import UNetConfig
from latentsync_core.sampling.denoising.solvers import make_scheduler
from latentsync_core.sampling.sampler_options import SamplerOptions, Scheduler

TOKENS = 50  # of Whisper's features for a frame
SEED = 1247
TOY = UNetConfig(block_channels=(32, 32, 64, 64))


def window_inputs(
    windows: int, frames: int, size: int, config: UNetConfig, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """Random noise, mask, masked and whole latents, and audio, as `denoise_windows` takes them."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (windows, frames, 4, size // 8, size // 8)
    noise, masked, whole = (torch.randn(shape, generator=generator).to(device) for _ in range(3))
    audio = torch.randn(windows, frames, TOKENS, config.audio_width, generator=generator).to(device)
    return noise, latent_mask(size).to(device), masked, whole, audio


@torch.inference_mode()
def official_steps(official: torch.nn.Module, inputs: tuple[torch.Tensor, ...], steps: int = 1) -> torch.Tensor:
    """Guided steps as the official pipeline takes them: both halves, the unconditional one hearing zeros."""
    noise, mask, masked, whole, audio = inputs
    scheduler = make_scheduler(Scheduler.DDIM)
    scheduler.set_timesteps(steps)
    condition = torch.cat([mask.expand(*noise.shape[:2], 1, *mask.shape), masked, whole], dim=2).transpose(1, 2)
    latents, audio = noise.transpose(1, 2), audio.flatten(0, 1)  # (1, 4, f, h, w)
    states = torch.cat([torch.zeros_like(audio), audio])
    for timestep in scheduler.timesteps:
        sample = torch.cat([latents, condition], dim=1)  # (1, 13, f, h, w)
        predicted = official(sample.repeat(2, 1, 1, 1, 1), timestep, encoder_hidden_states=states).sample
        unconditional, conditional = predicted.chunk(2)
        guided = unconditional + SamplerOptions.cfg * (conditional - unconditional)
        latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
    return latents.transpose(1, 2)


def peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
