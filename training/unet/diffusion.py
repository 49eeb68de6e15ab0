"""The forward diffusion of training, and its inverse given the network's prediction of v.

The network predicts v = sqrt(a) noise - sqrt(1 - a) clean (Salimans and Ho 2022, https://arxiv.org/abs/2202.00512,
section 4), a being the clean latents' share of the variance. The schedule ends in pure noise (Lin et al. 2023,
https://arxiv.org/abs/2305.08891): there v is minus the clean latents, and one step draws the whole picture. A network
that predicts the noise has nothing to say there, and near there its errors count many times in the clean latents.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from latentsync_core.models.noise_schedule import NoiseSchedule, PredictionType, TimestepSpacing
from latentsync_core.models.recommended_settings import RecommendedSettings

NANO_SCHEDULE = NoiseSchedule(
    prediction_type=PredictionType.V,
    rescale_betas_zero_snr=True,
    timestep_spacing=TimestepSpacing.TRAILING,
    steps_offset=0,
    set_alpha_to_one=True,
)
NOISE_SHARING = 0.5  # of the noise's variance is common to all frames of a window
NANO_SETTINGS = RecommendedSettings(
    steps=1,
    cfg=1.25,
    scheduler="ddim",
    noise_sharing=NOISE_SHARING,
    overlap=4,
    region="lips",  # chins are drawn too softly: the filmed one is better
)


@functools.cache
def alphas_cumprod() -> Tensor:
    """(1000,) of a noisy latent's variance, the share that is the picture's, by diffusion step; 0 at the last."""
    return NANO_SCHEDULE.alphas_cumprod()


def draw_noise(generator: torch.Generator, windows: int, frames: int, size: int) -> Tensor:
    """(windows, 4, frames, size, size) of unit variance, NOISE_SHARING of which is common to a window's frames."""
    common, own = (torch.randn((windows, 4, count, size, size), generator=generator) for count in (1, frames))
    return math.sqrt(NOISE_SHARING) * common + math.sqrt(1 - NOISE_SHARING) * own


def add_noise(clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """Clean latents (b, 4, f, h, w) with as much noise as they have at diffusion steps (b,)."""
    share = _share(clean, steps)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def velocity(clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """What the network is to predict at diffusion steps (b,), of the shape of `clean`."""
    share = _share(clean, steps)
    return share.sqrt() * noise - (1 - share).sqrt() * clean


def clean_estimate(noisy: Tensor, predicted: Tensor, steps: Tensor) -> Tensor:
    """The clean latents within noisy ones (b, 4, f, h, w) at diffusion steps (b,), were v `predicted`."""
    return NANO_SCHEDULE.clean_estimate(noisy, predicted, _share(noisy, steps))


def _share(values: Tensor, steps: Tensor) -> Tensor:
    return alphas_cumprod().to(values)[steps].view(-1, 1, 1, 1, 1)
