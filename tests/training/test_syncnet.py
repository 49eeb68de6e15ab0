"""The small SyncNet's training: windows that belong together, a training that resumes, a measure that knows sync."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from latentsync_core.evaluation.syncnet import load_syncnet
from training.loop import Budget
from training.syncnet.data import sync_clips
from training.syncnet.measure import figures
from training.syncnet.train import (
    MIN_SHIFT_FRAMES,
    WEIGHTS,
    WINDOWS_PER_CLIP,
    build,
    compute_loss,
    make_batch,
    save,
    train,
)

from ..one_thread import one_thread  # noqa: F401


@pytest.fixture(scope="module")
def clips():
    """Three clips of 40 frames, each of another brightness that falls from frame to frame, with a rising tone."""
    crops = [np.full((40, 3, 128, 128), 60 * n + 100, np.uint8) - np.arange(40, dtype=np.uint8)[:, None, None, None]
             for n in range(3)]  # fmt: skip
    time = np.arange(40 * 640) / 16000
    waves = [np.sin(2 * np.pi * (200 + 300 * n + 400 * time) * time).astype(np.float32) for n in range(3)]
    return sync_clips(crops, waves)


def test_a_window_shows_lower_halves_and_hears_the_same_time(clips):
    seen, heard = clips.windows(1, [0, 10])
    assert seen.shape == (2, 48, 32, 64)
    assert heard.shape == (2, 1, 80, 52)
    assert seen[1, 0].mean().item() == pytest.approx((160 - 10) / 127.5 - 1, abs=1e-5)
    assert torch.equal(heard[1, 0], clips.mels[1][:, 32:84])  # frame 10 is column 32


def test_int16_and_float_waveforms_are_heard_alike():
    wave = np.sin(np.arange(16000) / 20).astype(np.float32)
    crops = [np.zeros((16, 3, 128, 128), np.uint8)]
    plain, whole = (sync_clips(crops, [w]).mels[0] for w in (wave, (wave * 32767).round().astype(np.int16)))
    assert (plain - whole).abs().max() < 0.05


def test_windows_of_a_clip_lie_apart_and_follow_from_the_seed(clips):
    pictures, sounds = make_batch(clips, 0, 0, count=2)
    assert len(pictures) == len(sounds) == 2 * WINDOWS_PER_CLIP
    again, _ = make_batch(clips, 0, 0, count=2)
    other, _ = make_batch(clips, 1, 0, count=2)
    assert torch.equal(pictures, again)
    assert not torch.equal(pictures, other)
    levels = pictures[:WINDOWS_PER_CLIP, 0].mean((1, 2)) * 127.5  # a level darker every frame
    gaps = (levels[:, None] - levels[None]).abs() + 99 * torch.eye(WINDOWS_PER_CLIP)
    assert gaps.min() > 0.75 * MIN_SHIFT_FRAMES


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_ends_with_the_same_bits(clips, tmp_path):
    """Quick: test_an_interrupted_training_ends_with_the_same_bits_as_an_undisturbed_one, by the same loop."""
    budget = Budget(steps=2)
    through = train(clips, budget, count=1)
    train(clips, budget, tmp_path, count=1, stop_after=1)
    resumed = train(clips, budget, tmp_path, count=1)
    assert all(torch.equal(through[key], resumed[key]) for key in through)
    assert any(not torch.equal(through[key], value) for key, value in build().state_dict().items())


def test_training_starts_from_given_weights(clips):
    start = build(5).state_dict()
    ended = train(clips, Budget(steps=1, learning_rate=0.0), start=start, count=1)
    assert all(torch.allclose(start[key], ended[key]) for key in start)


def test_a_net_that_hears_what_it_sees_has_the_lower_loss(clips):
    pictures, sounds = make_batch(clips, 0, 0, count=2)

    def net(order):
        own = torch.eye(len(pictures))
        return lambda *_: (own, own[order])

    right, _ = compute_loss(net(torch.arange(2 * WINDOWS_PER_CLIP)), pictures, sounds, WINDOWS_PER_CLIP)
    wrong, parts = compute_loss(net(torch.arange(2 * WINDOWS_PER_CLIP).roll(3)), pictures, sounds, WINDOWS_PER_CLIP)
    assert right < 0.01 < 5 < wrong
    assert parts["before the shifted"] < 0.5


def test_the_measure_tells_sync_from_chance():
    rng = np.random.default_rng(0)
    noise = rng.random((5, 40, 40)) * 0.4
    found = figures(noise + 0.5 * np.eye(40))
    chance = figures(noise)
    key = "own before shifted by 5 to 15 frames"
    assert found[key][0] == 1
    assert 0.35 < chance[key][0] < 0.65
    assert found["clips whose best lag is within a frame"] == 1


def test_saved_weights_are_a_syncnet_of_the_engine(tmp_path):
    save(build().state_dict(), tmp_path / "net.safetensors")
    net = load_syncnet(tmp_path / "net.safetensors")
    assert net.config.face_size == (64, 64)


def test_the_carried_weights_fit():
    assert load_syncnet(WEIGHTS).config.face_size == (64, 64)
