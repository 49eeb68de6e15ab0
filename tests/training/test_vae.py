"""The small image autoencoder's training and its carried weights: resumable to the bit, and a mouth stays as open."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from latentsync_core.errors import ModelError, OptionError
from latentsync_core.models.vae import DiffusersCodec
from training.figures import render_random_speech
from training.loop import Budget, load_ema_weights
from training.meter.network import measure_openings
from training.unet.features import encoder_digest
from training.vae.data import load_or_render_crops, make_batch
from training.vae.measure import decoded
from training.vae.train import CONFIG, WEIGHTS, build, load, save, train, with_unit_latents

from ..one_thread import one_thread  # noqa: F401

TINY_STEP = 2 * 64 * 64  # pixels
needs_weights = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights: python -m training.vae.train")


@pytest.fixture(scope="module")
def crops():
    """(24, 3, 128, 128) uint8 of three unseen people."""
    drawn = torch.cat([render_random_speech(number, frames=8)[0] for number in range(3)])
    return (drawn * 255).round().byte().numpy()


@pytest.fixture(scope="module")
def people():
    """Crops (n, 3, 128, 128) in [0, 1] and openings (n,) of six unseen people, eight moments each."""
    drawn = [render_random_speech(number, frames=8) for number in range(10, 16)]
    return torch.cat([found for found, _, _ in drawn]), np.concatenate([openings for _, openings, _ in drawn])


def as_pictures(crops):
    return torch.from_numpy(crops).float() / 127.5 - 1


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_ends_with_the_same_bits_as_an_undisturbed_one(crops, tmp_path):
    budget = Budget(steps=2)
    through = train(crops, budget, step_pixels=TINY_STEP)
    train(crops, budget, tmp_path, step_pixels=TINY_STEP, stop_after=1)
    resumed = train(crops, budget, tmp_path, step_pixels=TINY_STEP)
    assert all(torch.equal(through[key], resumed[key]) for key in through)
    assert all(torch.equal(resumed[key], value) for key, value in load_ema_weights(tmp_path).items())
    untrained = build().state_dict()
    assert any(not torch.equal(through[key], untrained[key]) for key in through)


def test_training_the_decoder_alone_leaves_the_latents_as_they_are(crops, tmp_path):
    start, losses = build(3).state_dict(), []
    trained = train(
        crops, Budget(steps=2), start=start, step_pixels=TINY_STEP, decoder_only=True,
        on_progress=lambda _, parts: losses.append(parts),
    )  # fmt: skip
    assert all(parts["perceptual"] > 0 and "divergence" not in parts for parts in losses)
    same = {key for key, value in start.items() if torch.equal(trained[key], value)}
    assert same == {key for key in start if key.startswith(("encoder.", "quant_conv."))}
    save(start, tmp_path / "before")
    save(trained, tmp_path / "after")
    assert encoder_digest(load(tmp_path / "before")) == encoder_digest(load(tmp_path / "after"))
    assert encoder_digest(load(tmp_path / "before")) != encoder_digest(DiffusersCodec(build(4)))


def test_another_seed_starts_and_goes_elsewhere(crops):
    one, other = (make_batch(crops, 0, seed, TINY_STEP, whole=True).pictures for seed in (0, 1))
    assert not torch.equal(one, other)
    assert not torch.equal(build(0).decoder.conv_in.weight, build(1).decoder.conv_in.weight)


def test_an_error_at_the_mouth_weighs_more_and_the_mean_weight_is_one(crops):
    weights = make_batch(crops, 0, 0, 128 * 128, whole=True).weights[0, 0]
    assert weights.mean().item() == pytest.approx(1, abs=1e-4)
    assert weights[91, 64] > 3 * weights[5, 5]


def test_unit_latents_come_from_the_same_autoencoder(crops, tmp_path):
    state = build(3).state_dict()
    save(state, tmp_path / "plain")
    save(with_unit_latents(state, crops), tmp_path / "unit")
    plain, unit = load(tmp_path / "plain"), load(tmp_path / "unit")
    pictures = as_pictures(crops[:4])
    before, after = plain.decode(plain.encode(pictures)), unit.decode(unit.encode(pictures))
    assert (before - after).abs().max() < 0.02  # half precision's
    latents = unit.encode(as_pictures(crops))
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=0.02)
    assert latents.mean((0, 2, 3)).abs().max() < 0.02
    # The folded deviation is the plain one in the new units: the same draw decodes to the same picture.
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    drawn, drawn_unit = plain.decode(plain.encode(pictures, noise)), unit.decode(unit.encode(pictures, noise))
    assert (drawn - drawn_unit).abs().max() < 0.05


def test_drawn_crops_are_kept_and_read_again(tmp_path):
    first = np.array(load_or_render_crops(1, 2, tmp_path))
    assert first.shape == (2, 3, 128, 128)
    assert first.std() > 10
    np.save(next(tmp_path.glob("*.npy")), first[::-1])
    assert np.array_equal(load_or_render_crops(1, 2, tmp_path), first[::-1])


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(OptionError, match="steps or of minutes"):
        Budget()
    with pytest.raises(OptionError, match="people"):
        load_or_render_crops(200_000, 2, tmp_path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(ModelError, match="no config"):
        load(tmp_path / "bare.safetensors")


@needs_weights
def test_the_carried_weights_are_small_and_build_through_the_codec():
    codec = load()
    assert codec.config["block_out_channels"] == CONFIG["block_out_channels"]
    assert WEIGHTS.stat().st_size < 3.2e6


@needs_weights
def test_carried_latents_of_unseen_people_have_about_unit_variance(people):
    crops, _ = people
    latents = load().encode(crops * 2 - 1)
    assert latents.shape == (len(crops), 4, 16, 16)
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.5
    assert latents.mean((0, 2, 3)).abs().max() < 0.3


@needs_weights
def test_a_decoded_mouth_is_as_open_as_it_was(people):
    crops, openings = people
    again, _ = decoded(load(), crops)
    seen = measure_openings(again)
    assert np.corrcoef(seen, openings)[0, 1] >= 0.9
    assert np.polyfit(openings, seen, 1)[0] == pytest.approx(1, abs=0.15)
