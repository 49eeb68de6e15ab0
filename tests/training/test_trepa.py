"""The small video encoders: what a step hides, a training that resumes, the engine's file, a measure that can tell."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from latentsync_core.evaluation.scores import temporal_distance
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.trepa.video_encoder import VideoEncoder, VideoEncoderConfig, load_video_encoder, save_video_encoder
from training.loop import Budget
from training.trepa.degradations import shuffle_mouths
from training.trepa.measure import DEGRADATION_LEVELS, measure_encoder, windows
from training.trepa.train import (
    CONFIGS,
    MASK_RATIO,
    WEIGHTS,
    build,
    sample_tube_masks,
    sample_windows,
    standardize_features,
    train,
)

from ..one_thread import one_thread  # noqa: F401

SMALL = VideoEncoderConfig(width=24, blocks=1, heads=2, inner=48, patch=16, size=64)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("training.trepa.train.STANDARDIZATION_WINDOWS", 16)


@pytest.fixture(scope="module")
def crops():
    """Three clips of a bright bar that wanders over grey noise."""
    rng = np.random.default_rng(0)
    clips = rng.integers(60, 120, (3, 1, 3, 128, 128)).repeat(34, axis=1).astype(np.uint8)
    for clip in range(3):
        for frame in range(34):
            at = 80 + round(20 * np.sin(frame / 3 + clip))
            clips[clip, frame, :, at : at + 8] = 220
    return clips


def test_windows_are_as_the_encoder_takes_them_and_follow_from_the_seed(crops):
    clips = sample_windows(crops, 3, 0, 2, SMALL)
    assert clips.shape == (2, 3, 16, 64, 64)
    assert 0 <= clips.min() < clips.max() <= 1
    assert torch.equal(clips, sample_windows(crops, 3, 0, 2, SMALL))
    assert not torch.equal(clips, sample_windows(crops, 4, 0, 2, SMALL))


def test_as_many_tubes_are_hidden_in_every_window_once_the_same_places_once_any():
    masked = sample_tube_masks(0, 0, 4, CONFIGS["loss"])
    assert masked.shape == (4, CONFIGS["loss"].tokens)
    assert (masked.sum(1) == masked[0].sum()).all()
    assert masked[0].double().mean().item() == pytest.approx(MASK_RATIO, abs=0.01)
    moments = masked.view(4, 8, -1)
    assert (moments[0] == moments[0, 0]).all()
    assert not (moments[1] == moments[1, 0]).all()


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_ends_with_the_same_encoder(crops, tmp_path):
    """Quick: test_an_interrupted_training_ends_with_the_same_bits_as_an_undisturbed_one, by the same loop."""
    through = train(crops, SMALL, Budget(steps=2), count=2).state_dict()
    train(crops, SMALL, Budget(steps=2), tmp_path, count=2, stop_after=1)
    resumed = train(crops, SMALL, Budget(steps=2), tmp_path, count=2).state_dict()
    assert all(torch.equal(through[key], resumed[key]) for key in through)


def test_training_guesses_what_is_hidden_better_and_better():
    rows = (np.arange(128, dtype=np.uint8) + 60)[:, None] * np.ones((2, 16, 3, 1, 128), np.uint8)
    seen = []
    budget = Budget(steps=30, learning_rate=1e-2)
    train(rows, SMALL, budget, count=2, on_progress=lambda _, parts: seen.append(parts["hidden"]))
    assert np.mean(seen[-3:]) < 0.5 * np.mean(seen[:3])


def test_the_engine_reads_what_training_writes(crops, tmp_path):
    trained = train(crops, SMALL, Budget(steps=1), count=1)
    loaded = load_video_encoder(save_video_encoder(trained.half(), tmp_path / "trepa.safetensors"))
    assert loaded.config == SMALL
    clip = torch.from_numpy(crops[0]).float() / 127.5 - 1
    assert temporal_distance(loaded, clip, clip) == pytest.approx(0, abs=1e-9)
    assert temporal_distance(loaded, clip, clip.flip(0)) > 1e-6


def test_a_settled_encoder_has_even_features(crops):
    torch.manual_seed(0)
    encoder = standardize_features(VideoEncoder(SMALL).requires_grad_(False), crops, windows=64)
    found = torch.cat([encoder(sample_windows(crops, step, 0, 8, SMALL)) for step in range(8)])
    assert found.mean(0).abs().max() < 1e-3
    assert (found.std(0) - 1).abs().max() < 1e-2


def test_ladders_spoil_more_with_every_step_and_only_below(crops):
    plain = torch.from_numpy(crops[0]).float() / 255
    keep = (mouth_mask(128) == 1).expand(plain.shape)
    for name, (degrade, steps) in DEGRADATION_LEVELS.items():
        results = [degrade(plain, step, np.random.default_rng(1)) for step in steps]
        assert all(torch.allclose(result[keep], plain[keep]) for result in results)
        errors = [(result - plain).square().mean().item() for result in results]
        assert 0 < errors[0] < errors[-1], name
    assert torch.allclose(shuffle_mouths(plain, 0, np.random.default_rng(1)), plain)


def test_the_measure_sees_who_sees_jitter(crops):
    class Blind(torch.nn.Module):
        """An encoder to which all clips are the same."""

        config = SMALL
        fc_norm = torch.nn.LayerNorm(4)

        def forward(self, clips):
            return torch.ones(len(clips), 4)

    class Moving(Blind):
        """One that sees how much each place changes, and a little of how bright it is."""

        def forward(self, clips):
            change = torch.nn.functional.adaptive_avg_pool2d(clips.diff(n=2, dim=2).square().mean((1, 2)), 8)
            return 100 * change.flatten(1) + torch.nn.functional.adaptive_avg_pool3d(clips, (1, 8, 8)).flatten(1).mean()

    blind, moving = (measure_encoder(encoder(), crops[:1], crops[:1]) for encoder in (Blind, Moving))
    jitter = "mouths jittered, frames"
    assert max(blind[jitter]["distance by step"]) < 1e-6 < 1e-3 < min(moving[jitter]["distance by step"])
    assert blind[jitter]["clips where every step adds"] == 0
    assert blind["jitter told"] <= 0.5
    assert moving["jitter told"] > 0.7
    assert len(windows(torch.from_numpy(crops[0]).float(), 16)) == 2


@pytest.mark.parametrize("which", CONFIGS)
def test_the_carried_encoders_fit(which):
    assert load_video_encoder(WEIGHTS[which]).config == CONFIGS[which]


def test_the_judge_is_another_network_than_the_one_trained_against():
    sizes = [sum(p.numel() for p in build(config).videomae.parameters()) for config in CONFIGS.values()]
    assert len(set(sizes)) == 2
    assert all(1e6 < size < 2.5e6 for size in sizes)
