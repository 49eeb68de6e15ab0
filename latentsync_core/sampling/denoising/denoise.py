"""The denoising of one window: a scheduler's steps with audio guidance over the 13-channel U-Net."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...models.noise_schedule import REFERENCE_SCHEDULE, NoiseSchedule
from ...required_packages import importing
from ..sampler_options import Scheduler
from .solvers import make_scheduler, set_timesteps

OnStep = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Called as ``on_step(step, predicted, latents, clean)``, (f, 4, h, w) each: the guided prediction, the latents after
the step, and the clean latents that the prediction comes to."""


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
    schedule: NoiseSchedule = REFERENCE_SCHEDULE,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
    halves_in_turn: bool = False,
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
        cfg: audio guidance; at 1.0 the unconditional half is not computed. Below, the mouth moves less than the network
            would have it: at 0.0 as if it heard nothing.
        schedule: the model's.
        device: where to compute; None: where the network's first weights are (some may wait elsewhere).
        on_step: called after every step; what it raises cancels.
        halves_in_turn: compute guidance's two predictions one after the other, in half of the memory.

    Returns:
        (f, 4, h, w) float32 on `device`.

    Raises:
        OptionError: the schedule can't be divided into so many steps.
    """
    with importing("einops"):
        from einops import rearrange

    weight = next(unet.parameters())
    device = weight.device if device is None else torch.device(device)
    frames = len(noise)
    guided = cfg != 1.0
    noise_scheduler = make_scheduler(Scheduler(scheduler), schedule)
    set_timesteps(noise_scheduler, steps, schedule)

    condition = torch.cat([mask.expand(frames, 1, *mask.shape), masked, reference], dim=1)  # (f, 9, h, w)
    condition = rearrange(condition, "f c h w -> 1 c f h w").to(device, torch.float32)
    audio = audio.to(device, weight.dtype)
    if guided:
        audio = torch.cat([torch.zeros_like(audio), audio])  # unconditional half first
    latents = rearrange(noise, "f c h w -> 1 c f h w").to(device, torch.float32) * noise_scheduler.init_noise_sigma

    for step, timestep in enumerate(noise_scheduler.timesteps):
        sample = torch.cat([latents, condition], dim=1)  # (1, 13, f, h, w)
        sample = sample.expand(2 if guided else 1, *sample.shape[1:])
        parts = zip(*(batch.chunk(2 if guided and halves_in_turn else 1) for batch in (sample, audio)), strict=True)
        predicted = torch.cat(
            [unet(part.to(weight.dtype), timestep.to(device), heard).float() for part, heard in parts]
        )
        if guided:
            unconditional, conditional = predicted.chunk(2)
            predicted = unconditional + cfg * (conditional - unconditional)
        clean = None
        if on_step:
            alpha_cumprod = float(noise_scheduler.alphas_cumprod[int(timestep)])
            clean = schedule.clean_estimate(latents, predicted, alpha_cumprod)
        latents = noise_scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        if on_step and clean is not None:
            on_step(step, *(state[0].transpose(0, 1) for state in (predicted, latents, clean)))
    return rearrange(latents, "1 c f h w -> f c h w")
