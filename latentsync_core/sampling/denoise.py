"""The denoising of one window: a scheduler's steps with audio guidance over the 13-channel U-Net."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from ..errors import OptionError
from ..models.noise_schedule import MIN_ALPHA_CUMPROD, REFERENCE_SCHEDULE, NoiseSchedule, TimestepSpacing
from ..required_packages import importing
from .ddim import UnevenDDIM
from .sampler_options import Scheduler

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
        schedule: the model's.
        device: where to compute; None: where the network's first weights are (some may wait elsewhere).
        on_step: called after every step; what it raises cancels.

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
    guided = cfg > 1.0
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
        predicted = unet(sample.to(weight.dtype), timestep.to(device), audio).float()
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


def make_scheduler(scheduler: Scheduler, schedule: NoiseSchedule = REFERENCE_SCHEDULE) -> Any:
    """diffusers' class for it, on a model's schedule; every one keeps the variance, so latents mean the same to all."""
    with importing("diffusers"):
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
        from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    settings = schedule.to_dict()
    if scheduler is Scheduler.DDIM:
        ddim = DDIMScheduler(**settings)
        return ddim if schedule.timestep_spacing is TimestepSpacing.LEADING else UnevenDDIM(ddim, schedule)
    del settings["clip_sample"], settings["set_alpha_to_one"]  # DDIM's alone
    if settings.pop("rescale_betas_zero_snr"):
        settings["trained_betas"] = _betas_with_some_signal(schedule)
    if scheduler is Scheduler.DPM_PLUS_PLUS_2M:
        return DPMSolverMultistepScheduler(**settings)
    return UniPCMultistepScheduler(**settings)


def set_timesteps(noise_scheduler: Any, steps: int, schedule: NoiseSchedule) -> None:
    """Has a scheduler of `make_scheduler` take `steps` steps.

    Raises:
        OptionError: the schedule can't be divided into so many.
    """
    if steps <= schedule.num_train_timesteps:
        noise_scheduler.set_timesteps(steps)
        if len(noise_scheduler.timesteps) == steps + 1:
            # With trailing spacing and 61 or 103 steps, rounding has diffusers take one more, step -1.
            noise_scheduler.timesteps = noise_scheduler.timesteps[:steps]
            noise_scheduler.num_inference_steps = steps
            if hasattr(noise_scheduler, "sigmas"):
                noise_scheduler.sigmas = torch.cat([noise_scheduler.sigmas[:steps], noise_scheduler.sigmas[-1:]])
        taken = [int(timestep) for timestep in noise_scheduler.timesteps]
        falling = all(later < earlier for earlier, later in pairwise(taken))
        if len(taken) == steps and falling and taken[0] < schedule.num_train_timesteps and taken[-1] >= 0:
            return
    raise OptionError(
        f"steps is {steps}, more than this scheduler can take of the model's {schedule.num_train_timesteps} noise "
        "levels; use fewer (20 is usual)"
    )


def _betas_with_some_signal(schedule: NoiseSchedule) -> list[float]:
    """A zero-SNR schedule's betas with a trace of signal at the noisiest step, for solvers that divide by it.

    diffusers does the same from 0.30 on, where these solvers know of zero terminal SNR; older ones take betas alone.
    """
    signal = schedule.alphas_cumprod().double().clamp(min=MIN_ALPHA_CUMPROD)
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    return (1 - signal / before).tolist()
