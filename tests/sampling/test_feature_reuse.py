"""Features are reused as long as they may be, window by window, and as the reference reuses them."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from latentsync_core.errors import OptionError
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.unet.unet import UNet
from latentsync_core.sampling.denoising.denoise import denoise_windows, guided
from latentsync_core.sampling.denoising.feature_reuse import FeatureReuse, relative_change
from latentsync_core.sampling.sampler_options import REUSED_PASS, SamplerOptions, Scheduler
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")  # quicker beside other processes

WINDOWS, FRAMES, SIZE = 3, 2, 8
ADAPTIVE = {"reuse_interval": 5, "reuse_change": 0.3}


@pytest.fixture(scope="module")
def unet() -> UNet:
    return untrained_model(resolution=64, device="cpu").unet


def drawn(unet: UNet, windows: slice = slice(None), **options) -> torch.Tensor:
    """Latents of some of three windows, (n, f, 4, 8, 8)."""
    generator = torch.Generator().manual_seed(3)
    noise, masked, reference = (torch.randn(WINDOWS, FRAMES, 4, SIZE, SIZE, generator=generator) for _ in range(3))
    audio = torch.randn(WINDOWS, FRAMES, 30, 64, generator=generator)
    masked, reference, audio = (values[windows] for values in (masked, reference, audio))
    mask = torch.ones(SIZE, SIZE)
    with torch.inference_mode():
        return denoise_windows(unet, noise[windows], mask, masked, reference, audio, SamplerOptions(**options))


def computed_steps(reuse: FeatureReuse, features: list[torch.Tensor], halves: list[int]) -> list[int]:
    """The steps that compute their features, which are `features[step]` then."""
    found = []
    for step, (one, count) in enumerate(zip(features, halves, strict=True)):
        if reuse.is_due(step, count):
            found.append(step)
            reuse.keep(step, [one] * count)
        assert len(reuse.features(count)) == count
    return found


def test_a_fixed_interval_computes_every_so_many_steps():
    features = [torch.randn(2, 3) for _ in range(8)]
    assert computed_steps(FeatureReuse(3), features, [1] * 8) == [0, 3, 6]
    assert computed_steps(FeatureReuse(1), features, [1] * 8) == list(range(8))
    assert computed_steps(FeatureReuse(1, 0.5), features, [1] * 8) == list(range(8))


def test_guidance_that_begins_late_has_the_other_half_computed_at_once():
    assert computed_steps(FeatureReuse(4), [torch.ones(2)] * 8, [1, 1, 2, 2, 2, 2, 2, 1]) == [0, 2, 6]
    assert computed_steps(FeatureReuse(4), [torch.ones(2)] * 6, [2, 2, 1, 1, 1, 1]) == [0, 4]


def test_features_that_change_fast_are_reused_less():
    """From 1 on they grow by a share of themselves at each step."""

    def steps(growth: float) -> list[int]:
        return computed_steps(FeatureReuse(4, 0.25), [torch.full((2,), 1 + growth * s) for s in range(12)], [1] * 12)

    assert steps(0.0) == [0, 1, 5, 9]
    # At step 1 they change by 0.1 / 1.1 a step: two more steps stay below 0.25. At step 4 by 0.1 / 1.4: three more.
    assert steps(0.1) == [0, 1, 4, 8]
    assert steps(10.0)[:5] == [0, 1, 2, 3, 4]
    assert steps(math.nan) == list(range(12))


def test_the_change_is_relative_to_the_features_size():
    before = torch.tensor([1.0, -3.0])
    assert relative_change(before * 2, before) == pytest.approx(0.5)
    assert relative_change(before.half() * 2, before.half()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"cfg": 1.5},
        {"cfg": 1.5, "reuse_interval": 3},
        pytest.param({"cfg": 1.5, **ADAPTIVE}, marks=pytest.mark.slow),
        {"cfg": 2.0, "cfg_end": 0.5, "cfg_rescale": 0.7, **ADAPTIVE, "scheduler": Scheduler.DPM_PLUS_PLUS_2M},
    ],
    ids=["guided", "fixed", "adaptive", "all"],
)
def test_a_window_comes_to_the_same_alone_and_beside_others(unet, options):
    """Quick: test_a_window_comes_to_the_same_alone_and_beside_others, with all options at once."""
    unet = copy.deepcopy(unet).double()  # random weights carry float32's rounding on through all steps
    together = drawn(unet, steps=6, **options)
    for window in range(WINDOWS):
        alone = drawn(unet, slice(window, window + 1), steps=6, **options)
        torch.testing.assert_close(together[window : window + 1], alone, rtol=1e-4, atol=1e-4)


def test_windows_of_a_batch_decide_by_themselves(unet, monkeypatch):
    """One window's masked latents are far out of range, so that its features hardly change from step to step."""
    due = []
    decide = FeatureReuse.is_due
    monkeypatch.setattr(FeatureReuse, "is_due", lambda self, *step: due.append(decide(self, *step)) or due[-1])
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, FRAMES, 4, SIZE, SIZE, generator=generator)
    audio = torch.zeros(2, FRAMES, 30, 64)
    masked = torch.stack([noise[0], 30 * noise[1]])
    options = SamplerOptions(steps=12, cfg=1.0, reuse_interval=6, reuse_change=0.12)
    with torch.inference_mode():
        denoise_windows(unet, noise, torch.ones(SIZE, SIZE), masked, masked, audio, options)
    first, second = torch.tensor(due).view(-1, 2).unbind(1)
    assert first.sum() > second.sum() < 12


def test_with_reuse_less_is_computed_and_the_result_is_another(unet, monkeypatch):
    calls = []
    deep = UNet._deep_features
    monkeypatch.setattr(UNet, "_deep_features", lambda self, *values: calls.append(1) or deep(self, *values))
    plain = drawn(unet, steps=6, cfg=1.0)
    assert len(calls) == 6
    reused = drawn(unet, steps=6, cfg=1.0, reuse_interval=3)
    assert len(calls) == 8
    assert (plain - reused).abs().mean() > 1e-3


def test_guidance_counts_in_its_interval_alone(unet):
    unguided, whole = drawn(unet, steps=4, cfg=1.0), drawn(unet, steps=4, cfg=2.0)
    assert torch.equal(drawn(unet, steps=4, cfg=2.0, cfg_start=0.5, cfg_end=0.5), unguided)
    part = drawn(unet, steps=4, cfg=2.0, cfg_end=0.5)
    assert min((part - unguided).abs().mean(), (part - whole).abs().mean()) > 1e-3
    steps = SamplerOptions(steps=10, cfg=2.0, cfg_start=0.2, cfg_end=0.6)
    assert [step for step in range(10) if steps.guidance_at(step) != 1] == [2, 3, 4, 5]
    assert not SamplerOptions(steps=3, cfg=1.0).is_guided


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, 8),
        ({"cfg": 1.0}, 4),
        ({"cfg_start": 0.5}, 6),
        ({"reuse_interval": 2}, 4 + 4 * REUSED_PASS),
        ({"reuse_interval": 3, "cfg": 1.0}, 2 + 2 * REUSED_PASS),
    ],
)
def test_the_networks_passes_are_counted(options, passes):
    assert SamplerOptions(**{"steps": 4, "cfg": 1.5} | options).network_passes == pytest.approx(passes)


def test_rescaled_guidance_has_the_conditional_predictions_contrast():
    generator = torch.Generator().manual_seed(4)
    unconditional, conditional = (torch.randn(2, 4, 3, 8, 8, generator=generator) for _ in range(2))
    plain, whole, half = (guided(unconditional, conditional, 3.0, rescale) for rescale in (0.0, 1.0, 0.5))
    spread = [one.flatten(1).std(1) for one in (plain, whole, half, conditional)]
    assert (spread[0] > 1.5 * spread[3]).all()
    torch.testing.assert_close(spread[1], spread[3])
    torch.testing.assert_close(spread[2], (spread[0] + spread[3]) / 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cfg_start": 0.6, "cfg_end": 0.4}, "after a share of 0.6 of the steps and to end after 0.4"),
        ({"cfg_end": 1.5}, "use shares from 0 to 1"),
        ({"cfg_rescale": math.nan}, "rescaling of cfg is nan"),
        ({"reuse_interval": 0}, "reuse interval is 0 steps; use 1 .* to 20"),
        ({"reuse_change": math.inf}, "may come to is inf"),
        ({"window_batch": 0}, "0 windows"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(OptionError, match=words):
        SamplerOptions(**options)
