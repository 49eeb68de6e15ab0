"""Denoising takes the noise away, whatever scheduler and noise schedule, and foresees what it will come to."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from latentsync_core.errors import OptionError
from latentsync_core.models.noise_schedule import (
    REFERENCE_SCHEDULE,
    BetaSchedule,
    NoiseSchedule,
    PredictionType,
    TimestepSpacing,
)
from latentsync_core.sampling.denoising.denoise import denoise_window
from latentsync_core.sampling.denoising.solvers import make_scheduler, set_timesteps
from latentsync_core.sampling.sampler_options import Scheduler

SHAPE = (3, 4, 8, 8)  # frames, channels, height, width
ZERO_SNR = NoiseSchedule(
    prediction_type=PredictionType.V,
    rescale_betas_zero_snr=True,
    timestep_spacing=TimestepSpacing.TRAILING,
    steps_offset=0,
    set_alpha_to_one=True,
)


class KnowsTheFace(torch.nn.Module):
    """A network that predicts exactly, for one given face, whatever its schedule has it predict."""

    def __init__(self, face: torch.Tensor, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.signal = schedule.alphas_cumprod().double()
        self.prediction_type = schedule.prediction_type
        self.face = face.transpose(0, 1)[None]  # (1, 4, f, h, w)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        signal = float(self.signal[int(timestep)])
        noise = (sample[:, :4] - signal**0.5 * self.face) / (1 - signal) ** 0.5
        if self.prediction_type is PredictionType.EPSILON:
            return noise
        if self.prediction_type is PredictionType.V:
            return signal**0.5 * noise - (1 - signal) ** 0.5 * self.face
        return self.face.expand_as(noise)


def denoised(
    scheduler: Scheduler,
    face: torch.Tensor,
    steps: int = 12,
    cfg: float = 1.5,
    schedule: NoiseSchedule = REFERENCE_SCHEDULE,
    **changes,
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noise, masked, reference = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    audio = torch.zeros(len(noise), 50, 384)
    mask = torch.ones(SHAPE[-2:])
    unet = KnowsTheFace(face, schedule)
    return denoise_window(unet, noise, mask, masked, reference, audio, steps, cfg, scheduler, schedule, **changes)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_scheduler_arrives_at_the_face_that_the_network_sees(scheduler: Scheduler) -> None:
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(6))
    # DDIM as upstream has it ends at the schedule's first step, not at no noise at all.
    torch.testing.assert_close(denoised(scheduler, face), face, rtol=0, atol=0.12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 20])
@pytest.mark.parametrize("prediction_type", [PredictionType.V, PredictionType.SAMPLE])
@pytest.mark.parametrize("scheduler", Scheduler)
def test_with_zero_terminal_snr_every_scheduler_arrives_in_any_number_of_steps(scheduler, prediction_type, steps):
    schedule = NoiseSchedule(**{**vars(ZERO_SNR), "prediction_type": prediction_type})
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(8))
    found = denoised(scheduler, face, steps, schedule=schedule)
    torch.testing.assert_close(found, face, rtol=0, atol=2e-3)


@pytest.mark.parametrize("schedule", [REFERENCE_SCHEDULE, ZERO_SNR], ids=["reference", "zero SNR"])
@pytest.mark.parametrize("scheduler", Scheduler)
def test_every_step_foresees_the_face(scheduler: Scheduler, schedule: NoiseSchedule) -> None:
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7))
    seen = []
    denoised(
        scheduler, face, 6, schedule=schedule, on_step=lambda step, noise, latents, clean: seen.append((step, clean))
    )
    assert [step for step, _ in seen] == list(range(6))
    for _, clean in seen:
        torch.testing.assert_close(clean, face, rtol=0, atol=2e-3)


@pytest.mark.parametrize("spacing", TimestepSpacing)
@pytest.mark.parametrize("scheduler", Scheduler)
def test_timesteps_are_as_many_as_asked_for_and_lead_down(scheduler: Scheduler, spacing: TimestepSpacing) -> None:
    """Rounding would have diffusers take one more with 61 and 103 trailing steps."""
    schedule = NoiseSchedule(timestep_spacing=spacing)
    for steps in (1, 2, 7, 20, 61, 100, 103, 500, 998):
        noise_scheduler = make_scheduler(scheduler, schedule)
        set_timesteps(noise_scheduler, steps, schedule)
        taken = noise_scheduler.timesteps.tolist()
        assert len(taken) == steps
        assert all(0 <= later < earlier < 1000 for earlier, later in itertools.pairwise(taken))
        assert len(getattr(noise_scheduler, "sigmas", [0] * (steps + 1))) == steps + 1


@pytest.mark.parametrize("steps", [3, 6, 7, 61])
@pytest.mark.parametrize("scheduler", Scheduler)
def test_steps_that_do_not_divide_the_schedule_reach_its_end_too(scheduler: Scheduler, steps: int) -> None:
    face = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    torch.testing.assert_close(denoised(scheduler, face, steps, schedule=ZERO_SNR), face, rtol=0, atol=2e-3)


def test_uneven_ddim_steps_as_diffusers_does_where_the_steps_divide_the_schedule() -> None:
    schedule = NoiseSchedule(**{**vars(ZERO_SNR), "set_alpha_to_one": False})
    ours = make_scheduler(Scheduler.DDIM, schedule)
    theirs = DDIMScheduler(**schedule.to_dict())
    generator = torch.Generator().manual_seed(10)
    latents = torch.randn(SHAPE, generator=generator)
    for one in (ours, theirs):
        one.set_timesteps(8)
    for timestep in theirs.timesteps:
        predicted = torch.randn(SHAPE, generator=generator)
        expected = theirs.step(predicted, timestep, latents)
        expected = expected.prev_sample, expected.pred_original_sample
        torch.testing.assert_close(ours.step(predicted, timestep, latents), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheduler", Scheduler)
def test_more_steps_than_the_schedule_has_are_refused_with_their_number(scheduler: Scheduler) -> None:
    schedule = NoiseSchedule(num_train_timesteps=50, beta_schedule=BetaSchedule.LINEAR)
    with pytest.raises(OptionError, match=r"steps is 60, more than .* 50 noise levels"):
        denoised(scheduler, torch.zeros(SHAPE), 60, schedule=schedule)
    with pytest.raises(OptionError, match="steps is 1000"):  # its steps_offset leads beyond the last one
        denoised(scheduler, torch.zeros(SHAPE), 1000)


def test_an_error_from_a_step_stops_the_denoising_at_that_step() -> None:
    steps_taken = []

    def cancel_at_third(step: int, *_states: torch.Tensor) -> None:
        steps_taken.append(step)
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoised(Scheduler.DDIM, torch.zeros(SHAPE), on_step=cancel_at_third)
    assert steps_taken == [0, 1, 2]
