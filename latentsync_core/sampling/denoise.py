"""The denoising of one window: a scheduler's steps with audio guidance over the 13-channel U-Net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..required_packages import importing
from .sampler_options import Scheduler

# The schedule the networks were trained with, as upstream's scheduler configuration has it.
NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "prediction_type": "epsilon",
}


OnStep = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Called as ``on_step(step, noise, latents, clean)``, (f, 4, h, w) each: the guided noise prediction, the latents after
the step, and the clean latents predicted at this step."""


def denoise_window(
    unet: torch.nn.Module,
    noise: torch.Tensor,
    mask: torch.Tensor,
    masked: torch.Tensor,
    reference: torch.Tensor,
    audio: torch.Tensor,
    steps: int,
    cfg: float,
    scheduler: Scheduler = Scheduler.DDIM,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> torch.Tensor:
    """Draws the latents of one window's frames.

    Args:
        unet: takes (b, 13, f, h, w), a timestep and audio (b·f, tokens, width); gives (b, 4, f, h, w).
        noise: (f, 4, h, w) float32, standard normal.
        mask: (h, w), 1 = keep, 0 = draw.
        masked: (f, 4, h, w) scaled latents of the crops with the mouth region blanked.
        reference: (f, 4, h, w) scaled latents of the whole crops.
        audio: (f, tokens, width).
        steps: of the scheduler.
        cfg: audio guidance; at 1.0 the unconditional half is not computed.
        device: where to compute; None: where the network's first weights are (some may wait elsewhere).
        on_step: called after every step; what it raises cancels.

    Returns:
        (f, 4, h, w) float32 on `device`.
    """
    with importing("einops"):
        from einops import rearrange

    weight = next(unet.parameters())
    device = weight.device if device is None else torch.device(device)
    frames = len(noise)
    guided = cfg > 1.0
    noise_scheduler = make_scheduler(Scheduler(scheduler))
    noise_scheduler.set_timesteps(steps)

    condition = torch.cat([mask.expand(frames, 1, *mask.shape), masked, reference], dim=1)  # (f, 9, h, w)
    condition = rearrange(condition, "f c h w -> 1 c f h w").to(device, torch.float32)
    audio = audio.to(device, weight.dtype)
    if guided:
        audio = torch.cat([torch.zeros_like(audio), audio])  # unconditional half first
    latents = rearrange(noise, "f c h w -> 1 c f h w").to(device, torch.float32) * noise_scheduler.init_noise_sigma

    for step, timestep in enumerate(noise_scheduler.timesteps):
        sample = torch.cat([latents, condition], dim=1)  # (1, 13, f, h, w)
        sample = sample.expand(2 if guided else 1, *sample.shape[1:])
        predicted = unet(sample.to(weight.dtype), timestep.to(device), audio).float()
        if guided:
            unconditional, conditional = predicted.chunk(2)
            predicted = unconditional + cfg * (conditional - unconditional)
        if on_step:
            # The clean latents' share of the variance.
            alpha_cumprod = float(noise_scheduler.alphas_cumprod[int(timestep)])
            clean = (latents - (1 - alpha_cumprod) ** 0.5 * predicted) / alpha_cumprod**0.5
        latents = noise_scheduler.step(predicted, timestep, latents).prev_sample
        if on_step:
            on_step(step, *(state[0].transpose(0, 1) for state in (predicted, latents, clean)))
    return rearrange(latents, "1 c f h w -> f c h w")


def make_scheduler(scheduler: Scheduler) -> Any:
    """diffusers' class for it, on our schedule; every one keeps the variance, so latents mean the same to all."""
    with importing("diffusers"):
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
        from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    if scheduler is Scheduler.DDIM:
        return DDIMScheduler(**NOISE_SCHEDULE)
    schedule = {key: value for key, value in NOISE_SCHEDULE.items() if key not in ("clip_sample", "set_alpha_to_one")}
    if scheduler is Scheduler.DPM_PLUS_PLUS_2M:
        return DPMSolverMultistepScheduler(**schedule)
    return UniPCMultistepScheduler(**schedule)
