"""The solvers that take the noise away from step to step, on a model's noise schedule."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from ...errors import OptionError
from ...models.noise_schedule import MIN_ALPHA_CUMPROD, REFERENCE_SCHEDULE, NoiseSchedule, TimestepSpacing
from ...required_packages import importing
from ..sampler_options import Scheduler
from .ddim import UnevenDDIM


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
