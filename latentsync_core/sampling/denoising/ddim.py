"""DDIM over timesteps that need not lie evenly."""

from __future__ import annotations

from typing import Any

import torch

from ...models.noise_schedule import NoiseSchedule


class UnevenDDIM:
    """DDIM (Song et al. 2020, arXiv 2010.02502, equation 12 with η = 0) from each of its timesteps to the next.

    diffusers' own goes back by num_train_timesteps // steps. Unless the spacing is leading or nothing is left of that
    division, it misses the next timestep, and stops before the end: after 7 trailing steps some noise stays.
    """

    def __init__(self, scheduler: Any, schedule: NoiseSchedule) -> None:
        self._scheduler = scheduler  # diffusers' DDIMScheduler
        self._schedule = schedule
        self.init_noise_sigma = scheduler.init_noise_sigma
        self.alphas_cumprod = scheduler.alphas_cumprod
        self.timesteps = scheduler.timesteps

    def set_timesteps(self, steps: int) -> None:
        self._scheduler.set_timesteps(steps)
        self.timesteps = self._scheduler.timesteps

    def step(
        self, predicted: torch.Tensor, timestep: torch.Tensor, latents: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents at the next timestep, and the clean ones that the prediction comes to; all of any one shape."""
        signal = float(self.alphas_cumprod[int(timestep)])
        later = self.timesteps[self.timesteps < timestep]
        next_signal = float(self.alphas_cumprod[int(later[0])] if len(later) else self._scheduler.final_alpha_cumprod)
        clean = self._schedule.clean_estimate(latents, predicted, signal)
        noise = (latents - signal**0.5 * clean) / (1 - signal) ** 0.5
        return next_signal**0.5 * clean + (1 - next_signal) ** 0.5 * noise, clean
