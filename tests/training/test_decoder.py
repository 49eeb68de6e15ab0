"""The autoencoder's decoder, tuned to what the U-Net predicts: what it learns from, and what is unchanged."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from training.loop import Budget
from training.stage2.data import Stage2Clips
from training.stage2.decoder import PARTS, estimate, train
from training.takes import FRAMES, SAMPLES, Takes
from training.unet.diffusion import add_noise, clean_estimate
from training.unet.features import WHISPER_ROWS, Features

from ..one_thread import one_thread  # noqa: F401
from .small_autoencoder import small_autoencoder


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((2, FRAMES, 4, 16, 16)).astype(np.float16)
    states = rng.standard_normal((2, WHISPER_ROWS, 5, 384)).astype(np.float16)
    pictures = np.full((2, FRAMES, 3, 128, 128), 200, np.uint8)
    seen = Features(latents, latents, states, np.full((2, FRAMES), 0.1), states[:0])
    return Stage2Clips(seen, Takes(pictures, np.zeros((2, FRAMES)), rng.integers(-9, 9, (2, SAMPLES)).astype(np.int16)))


def mean_of_audio(sample, steps, audio):
    """A network whose prediction is the mean of its audio."""
    return torch.zeros_like(sample[:, :4]) + audio.mean()


def test_an_estimate_is_guided_as_a_users_is(clips):
    windows = next(batch.windows for step in range(20) if (batch := clips.batch(step, 0, 1)).has_audio.all())
    sample = add_noise(windows.clean, windows.noise, windows.steps)
    level = windows.audio.mean()
    for cfg in (1.0, 3.0):
        expected = clean_estimate(sample, torch.full_like(sample, cfg * level), windows.steps)
        assert torch.allclose(estimate(mean_of_audio, windows, cfg), expected, atol=1e-4)


def test_the_decoder_learns_and_the_encoder_stays_to_the_bit(clips):
    vae = small_autoencoder(3)
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    losses = []
    network = torch.nn.Identity()
    network.forward = mean_of_audio
    state = train(
        clips, network, vae, Budget(steps=2, learning_rate=1e-2), on_progress=lambda _, parts: losses.append(parts)
    )
    assert losses[1]["pixels"] < losses[0]["pixels"]
    for key, value in state.items():
        assert torch.equal(value, before[key]) == (not key.startswith(PARTS)), key
