"""Noise schedules are read as diffusers writes them, and refused in one sentence where they can't be sampled."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from latentsync_core.errors import ModelError
from latentsync_core.models.noise_schedule import (
    REFERENCE_SCHEDULE,
    BetaSchedule,
    NoiseSchedule,
    PredictionType,
    TimestepSpacing,
)
from latentsync_core.models.recommended_settings import REFERENCE_SETTINGS, RecommendedSettings

ZERO_SNR = NoiseSchedule(
    prediction_type=PredictionType.V,
    rescale_betas_zero_snr=True,
    timestep_spacing=TimestepSpacing.TRAILING,
    steps_offset=0,
    set_alpha_to_one=True,
)
# The scheduler config of the reference's repository.
REFERENCE_FILE = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.6.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
    "skip_prk_steps": True,
}


def refusal(**changes: object) -> str:
    """Why the reference's config with some changes is refused; one sentence that names the file and the way out."""
    with pytest.raises(ModelError) as error:
        NoiseSchedule.from_dict(REFERENCE_FILE | changes, "model/scheduler_config.json")
    sentence = str(error.value)
    assert sentence.startswith("model/scheduler_config.json ")
    assert "correct the file" in sentence
    assert sentence.isprintable()
    assert len(sentence) < 400
    return sentence


def test_the_references_file_is_the_default():
    assert NoiseSchedule.from_dict(REFERENCE_FILE) == REFERENCE_SCHEDULE


@pytest.mark.parametrize("schedule", [REFERENCE_SCHEDULE, ZERO_SNR, NoiseSchedule(beta_schedule=BetaSchedule.LINEAR)])
def test_a_schedule_survives_a_file(schedule):
    assert NoiseSchedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


@pytest.mark.parametrize("kind", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_a_file_that_diffusers_wrote_is_read(kind, tmp_path):
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    settings |= {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if kind is DDIMScheduler:
        settings |= {"clip_sample": False, "set_alpha_to_one": True}
    kind(**settings).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "scheduler_config.json").read_text("utf-8"))
    assert NoiseSchedule.from_dict(config) == NoiseSchedule(**{**vars(ZERO_SNR), "steps_offset": 1})


def test_diffusers_reads_what_we_write(tmp_path):
    (tmp_path / "scheduler_config.json").write_text(json.dumps(ZERO_SNR.to_dict()), "utf-8")
    scheduler = DDIMScheduler.from_pretrained(tmp_path)
    assert torch.equal(scheduler.alphas_cumprod, ZERO_SNR.alphas_cumprod())
    assert scheduler.config.clip_sample is False


def test_zero_terminal_snr_is_exactly_zero():
    signal = ZERO_SNR.alphas_cumprod()
    assert signal[-1] == 0
    assert signal[0] == pytest.approx(1 - 0.00085, abs=1e-6)


@pytest.mark.parametrize("key", ["num_train_timesteps", "beta_start", "beta_end", "beta_schedule"])
def test_what_a_schedule_cannot_be_without_is_named(key):
    with pytest.raises(ModelError, match=f"lacks {key}"):
        NoiseSchedule.from_dict({name: value for name, value in REFERENCE_FILE.items() if name != key})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_train_timesteps", value) for value in (0, 1, -5, 10**9, 10**400, 1000.0, "1000", True, None, [1000])),
        *(("beta_start", value) for value in (0, -0.1, 1, float("nan"), float("inf"), 10**400, "0.1", True, None, [])),
        *(("beta_end", value) for value in (0.0, -0.1, 1.5, float("nan"), -float("inf"), {}, "")),
        *(("beta_schedule", value) for value in ("cosine", "", None, 5, ["linear"])),
        *(("prediction_type", value) for value in ("flow_prediction", "V_PREDICTION", None, 1, {})),
        *(("timestep_spacing", value) for value in ("even", None, 0)),
        *(("rescale_betas_zero_snr", value) for value in ("true", 1, None, 0.0)),
        *(("set_alpha_to_one", value) for value in ("false", 0, None)),
        *(("steps_offset", value) for value in (-1, 2, 1000, 0.5, True, None)),
    ],
)
def test_a_value_of_the_wrong_kind_or_out_of_range_is_named(key, value):
    assert key in refusal(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trained_betas", [0.1, 0.2]),
        ("thresholding", True),
        ("clip_sample", True),
        ("use_karras_sigmas", True),
        ("use_flow_sigmas", True),
        ("trained_betas", "x" * 100_000),
    ],
)
def test_a_setting_that_would_change_the_process_is_refused(key, value):
    assert f"sets {key} to" in refusal(**{key: value})


@pytest.mark.parametrize("key", ["_class_name", "solver_order", "skip_prk_steps", "sample_max_value"])
def test_a_setting_of_a_solver_is_ignored(key):
    assert NoiseSchedule.from_dict({**REFERENCE_FILE, key: 1.0}) == REFERENCE_SCHEDULE


@pytest.mark.parametrize(
    "changes",
    [
        {"beta_start": 0.02},  # above beta_end
        {"beta_start": 1e-12, "beta_end": 1e-12},  # rounds to no noise
        {"beta_end": 0.99},  # nothing is left of the picture long before the end
        {"rescale_betas_zero_snr": True},  # and predicts the noise
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "beta_start": 1e-9, "beta_end": 1e-9},
    ],
    ids=str,
)
def test_a_schedule_that_cannot_be_sampled_is_refused(changes):
    refusal(**changes)


# --- recommended settings


def test_nothing_recommended_is_the_references_inference():
    assert RecommendedSettings.from_dict({}, "model.json") == REFERENCE_SETTINGS
    assert RecommendedSettings(20, 1.5, scheduler="ddim", noise_sharing=1.0, overlap=0) == REFERENCE_SETTINGS


def test_a_recommendation_survives_a_file():
    recommended = RecommendedSettings(4, 1.0, "unipc", 0.25, 3, "lips")
    assert RecommendedSettings.from_dict(json.loads(json.dumps(recommended.to_dict())), "model.json") == recommended


@pytest.mark.parametrize(
    "settings",
    [
        *({"steps": value} for value in (0, -1, 1001, 10**400, 8.0, "8", True, None)),
        *({"cfg": value} for value in (0.5, -1, float("nan"), float("inf"), 10**400, "1", False, None)),
        *({"noise_sharing": value} for value in (-0.1, 1.1, float("nan"), "x", True, [])),
        *({"overlap": value} for value in (-1, 13, 10**400, 2.0, "2", True, None)),
        *({"scheduler": value} for value in (5, None, ["ddim"])),
        {"seed": 5},
        {"x" * 5000: 1},
        {"two\nlines": 1},
        None,
        [],
        "8 steps",
    ],
    ids=lambda settings: str(settings)[:40],
)
def test_a_recommendation_that_cannot_be_followed_is_refused_in_one_line(settings):
    with pytest.raises(ModelError, match=r"^model/model.json ") as error:
        RecommendedSettings.from_dict(settings, "model/model.json")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
