"""Denoising takes the noise away, whatever the scheduler, and foresees what it will come to."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.sampling.denoise import NOISE_SCHEDULE, denoise_window
from latentsync_core.sampling.sampler_options import Scheduler

SHAPE = (3, 4, 8, 8)  # frames, channels, height, width


class KnowsTheFace(torch.nn.Module):
    """A network that tells exactly which noise lies over one given face."""

    def __init__(self, face: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        start, end, steps = (NOISE_SCHEDULE[key] for key in ("beta_start", "beta_end", "num_train_timesteps"))
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
        self.kept = (1 - betas).cumprod(0)
        self.face = face.transpose(0, 1)[None]  # (1, 4, f, h, w)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        kept = float(self.kept[int(timestep)])
        return (sample[:, :4] - kept**0.5 * self.face) / (1 - kept) ** 0.5


def denoised(scheduler: Scheduler, face: torch.Tensor, steps: int = 12, cfg: float = 1.5, **changes) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noise, masked, reference = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    audio = torch.zeros(len(noise), 50, 384)
    mask = torch.ones(SHAPE[-2:])
    return denoise_window(KnowsTheFace(face), noise, mask, masked, reference, audio, steps, cfg, scheduler, **changes)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_scheduler_arrives_at_the_face_that_the_network_sees(scheduler: Scheduler) -> None:
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(6))
    # DDIM as upstream has it ends at the schedule's first step, not at no noise at all.
    torch.testing.assert_close(denoised(scheduler, face), face, rtol=0, atol=0.12)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_step_foresees_the_face(scheduler: Scheduler) -> None:
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7))
    seen = []
    denoised(scheduler, face, steps=6, on_step=lambda step, noise, latents, clean: seen.append((step, clean)))
    assert [step for step, _ in seen] == list(range(6))
    for _, clean in seen:
        torch.testing.assert_close(clean, face, rtol=0, atol=1e-3)


def test_an_error_from_a_step_stops_the_denoising_at_that_step() -> None:
    steps_taken = []

    def cancel_at_third(step: int, *_states: torch.Tensor) -> None:
        steps_taken.append(step)
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoised(Scheduler.DDIM, torch.zeros(SHAPE), on_step=cancel_at_third)
    assert steps_taken == [0, 1, 2]
