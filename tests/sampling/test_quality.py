"""A quality comes to the sampler's options in one place: the model's recommendation, or what was given."""

from __future__ import annotations

import dataclasses

import pytest

from latentsync_core.errors import ModelError, OptionError
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.demonstration import NANO
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.noise_schedule import NoiseSchedule
from latentsync_core.models.recommended_settings import RecommendedSettings
from latentsync_core.sampling.quality import quality_settings, resolve_quality
from latentsync_core.sampling.sampler_options import (
    QUALITY_SETTINGS,
    Quality,
    SamplerOptions,
    Scheduler,
    WindowOptions,
)

GIVEN = SamplerOptions(
    seed=7,
    steps=33,
    cfg=2.0,
    scheduler=Scheduler.UNIPC,
    noise_sharing=0.1,
    windows=WindowOptions(12, 2),
    cfg_start=0.1,
    cfg_end=0.9,
    cfg_rescale=0.2,
    reuse_interval=3,
    reuse_change=0.4,
)
RELEASED = {"steps": 20, "cfg": 1.5, "scheduler": "ddim", "noise_sharing": 1.0, "overlap": 0}
RECOMMENDED = RecommendedSettings(steps=4, cfg=1.25, scheduler="dpm++ 2m", noise_sharing=0.75, overlap=5)
SAMPLING = {name: value for name, value in RECOMMENDED.to_dict().items() if name != "region"}  # that is compositing's


@pytest.fixture(scope="module")
def model() -> LatentSyncModel:
    return dataclasses.replace(untrained_model(resolution=64, device="cpu"), recommended=RECOMMENDED)


def test_the_defaults_are_upstreams_and_training_s():
    assert quality_settings(SamplerOptions()) == RELEASED | {"noise_sharing": 0.5}
    assert SamplerOptions().seed == 1247
    assert SamplerOptions().windows == WindowOptions(frames=16, overlap=0, full_last=True)


def test_custom_is_what_was_given(model):
    assert resolve_quality(GIVEN, Quality.CUSTOM, model) == GIVEN


def test_recommended_is_the_models_own_and_keeps_seed_and_window_length(model):
    found = resolve_quality(GIVEN, Quality.RECOMMENDED, model)
    assert quality_settings(found) == SAMPLING
    assert found.scheduler is Scheduler.DPM_PLUS_PLUS_2M
    assert (found.seed, found.windows) == (GIVEN.seed, WindowOptions(GIVEN.windows.frames, RECOMMENDED.overlap))


def test_windows_too_short_for_the_recommended_overlap_share_half_of_their_frames(model):
    short = dataclasses.replace(GIVEN, windows=WindowOptions(frames=7))
    assert resolve_quality(short, Quality.RECOMMENDED, model).windows == WindowOptions(7, 3)


@pytest.mark.parametrize("name", QUALITY_SETTINGS)
def test_a_setting_that_was_given_explicitly_replaces_the_recommended_one_alone(name, model):
    found = resolve_quality(GIVEN, Quality.RECOMMENDED, model, {name})
    expected = SAMPLING | {name: quality_settings(GIVEN)[name]}
    assert quality_settings(found) == expected


def test_a_model_without_a_recommendation_is_sampled_as_the_reference_does():
    found = resolve_quality(GIVEN, Quality.RECOMMENDED, untrained_model(resolution=64, device="cpu"))
    assert quality_settings(found) == RELEASED


@pytest.mark.parametrize(
    ("quality", "changes"),
    [
        (Quality.REFERENCE, {}),
        (Quality.BALANCED, {"steps": 10, "scheduler": "dpm++ 2m", "cfg_end": 0.8, "reuse_interval": 2}),
        (Quality.DRAFT, {"steps": 4, "scheduler": "dpm++ 2m", "cfg": 1.0, "reuse_interval": 2}),
    ],
)
def test_the_other_qualities_change_the_recommendation_in_a_few_settings(quality, changes):
    released = untrained_model(resolution=64, device="cpu")
    found = resolve_quality(GIVEN, quality, released)
    assert quality_settings(found) == RELEASED | changes
    assert (found.seed, found.windows) == (GIVEN.seed, WindowOptions(GIVEN.windows.frames, 0))
    explicit = resolve_quality(GIVEN, quality, released, {"reuse_change", "cfg", "overlap"})
    assert quality_settings(explicit) == RELEASED | changes | {"reuse_change": 0.4, "cfg": 2.0, "overlap": 2}


@pytest.mark.parametrize("quality", [Quality.REFERENCE, Quality.BALANCED])
def test_no_quality_takes_more_steps_than_the_makers_recommend(quality, model):
    """Weights that were trained for four steps."""
    assert quality_settings(resolve_quality(GIVEN, quality, model)) == SAMPLING


def test_every_quality_samples_nano_in_the_one_step_that_it_was_trained_for():
    nano = load_model(NANO, LoadOptions(device="cpu"))
    found = [resolve_quality(SamplerOptions(), quality, nano) for quality in Quality if quality is not Quality.CUSTOM]
    assert found[1:] == found[:-1]
    assert (found[0].steps, found[0].overlap) == (1, 4)


def test_a_recommended_scheduler_of_a_newer_version_is_named_with_the_way_out(model):
    newer = dataclasses.replace(model, recommended=RecommendedSettings(scheduler="euler\n" * 100))
    with pytest.raises(ModelError, match="only ddim") as error:
        resolve_quality(GIVEN, Quality.RECOMMENDED, newer)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
    resolve_quality(GIVEN, Quality.CUSTOM, newer)
    resolve_quality(GIVEN, Quality.RECOMMENDED, newer, {"scheduler"})


def test_more_steps_than_the_models_schedule_has_are_refused_before_any_work(model):
    short = dataclasses.replace(model, schedule=NoiseSchedule(num_train_timesteps=10))
    with pytest.raises(OptionError, match="steps is 33"):
        resolve_quality(GIVEN, Quality.CUSTOM, short)


def test_an_unknown_quality_or_setting_is_an_option_error(model):
    with pytest.raises(OptionError, match="quality is 'best'; use recommended, custom"):
        resolve_quality(GIVEN, "best", model)
    with pytest.raises(OptionError, match="'seed'"):
        resolve_quality(GIVEN, Quality.RECOMMENDED, model, {"seed"})


def test_an_audio_guidance_without_end_is_refused():
    with pytest.raises(OptionError, match="cfg is inf"):
        SamplerOptions(cfg=float("inf"))
