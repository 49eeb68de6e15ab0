"""The forward diffusion of training, and its inverse given the noise."""

from __future__ import annotations

import functools

from torch import Tensor

from latentsync_core.models.noise_schedule import REFERENCE_SCHEDULE


@functools.cache
def alphas_cumprod() -> Tensor:
    """(1000,) of a noisy latent's variance, the share that is the picture's, by diffusion step."""
    return REFERENCE_SCHEDULE.alphas_cumprod()


def add_noise(clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """Clean latents (b, 4, f, h, w) with as much noise as they have at diffusion steps (b,)."""
    share = alphas_cumprod().to(clean)[steps].view(-1, 1, 1, 1, 1)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def clean_estimate(noisy: Tensor, predicted: Tensor, steps: Tensor) -> Tensor:
    """The clean latents within noisy ones (b, 4, f, h, w) at diffusion steps (b,), were the noise `predicted`."""
    share = alphas_cumprod().to(noisy)[steps].view(-1, 1, 1, 1, 1)
    return REFERENCE_SCHEDULE.clean_estimate(noisy, predicted, share)
