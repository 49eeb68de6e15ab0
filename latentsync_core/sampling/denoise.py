"""The denoising of one window: DDIM with audio guidance over the 13-channel U-Net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange

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


def denoise_window(
    unet: torch.nn.Module,
    noise: torch.Tensor,
    mask: torch.Tensor,
    masked: torch.Tensor,
    reference: torch.Tensor,
    audio: torch.Tensor,
    steps: int,
    cfg: float,
    on_step: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Draws the latents of one window's frames.

    Args:
        unet: takes (b, 13, f, h, w), a timestep and audio (b·f, tokens, width); gives (b, 4, f, h, w).
        noise: (f, 4, h, w) float32, standard normal.
        mask: (h, w), 1 = keep, 0 = draw.
        masked: (f, 4, h, w) scaled latents of the crops with the mouth region blanked.
        reference: (f, 4, h, w) scaled latents of the whole crops.
        audio: (f, tokens, width).
        steps: of DDIM.
        cfg: audio guidance; at 1.0 the unconditional half is not computed.
        on_step: called after every step with (step, guided noise prediction, latents), (f, 4, h, w) each; what it
            raises cancels.

    Returns:
        (f, 4, h, w) float32 on the U-Net's device.
    """
    from diffusers import DDIMScheduler

    weight = next(unet.parameters())
    frames = len(noise)
    guided = cfg > 1.0
    scheduler = DDIMScheduler(**NOISE_SCHEDULE)
    scheduler.set_timesteps(steps)

    condition = torch.cat([mask.expand(frames, 1, *mask.shape), masked, reference], dim=1)  # (f, 9, h, w)
    condition = rearrange(condition, "f c h w -> 1 c f h w").to(weight.device, torch.float32)
    audio = audio.to(weight.device, weight.dtype)
    if guided:
        audio = torch.cat([torch.zeros_like(audio), audio])  # unconditional half first
    latents = rearrange(noise, "f c h w -> 1 c f h w").to(weight.device, torch.float32) * scheduler.init_noise_sigma

    for step, timestep in enumerate(scheduler.timesteps):
        sample = torch.cat([latents, condition], dim=1)  # (1, 13, f, h, w)
        sample = sample.expand(2 if guided else 1, *sample.shape[1:])
        predicted = unet(sample.to(weight.dtype), timestep.to(weight.device), audio).float()
        if guided:
            silent, voiced = predicted.chunk(2)
            predicted = silent + cfg * (voiced - silent)
        latents = scheduler.step(predicted, timestep, latents).prev_sample
        if on_step:
            on_step(step, predicted[0].transpose(0, 1), latents[0].transpose(0, 1))
    return rearrange(latents, "1 c f h w -> f c h w")
