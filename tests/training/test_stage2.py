"""The small U-Net's second stage: what its losses see and reach, that only TREPA tells its arms apart, its measure."""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from latentsync_core.models.unet.config import MotionConfig, UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import DiffusersCodec
from latentsync_core.trepa.video_encoder import VideoEncoder, VideoEncoderConfig
from training.loop import Budget
from training.meter.network import measure_openings
from training.perceptual import PerceptualDistance
from training.stage2.data import Stage2Clips
from training.stage2.measure import ClipEvaluator, TrueClips, comparison, figures, flicker, generate_clips
from training.stage2.measure_gradients import gradient_norms
from training.stage2.opening_reader import OpeningReader
from training.stage2.train import TRAINED_PARTS, LossNetworks, LossWeights, compute_losses, freeze_except_trained, train
from training.syncnet import train as train_syncnet
from training.takes import FRAMES, SAMPLES, Takes
from training.unet.diffusion import NANO_SCHEDULE, add_noise, clean_estimate, velocity
from training.unet.features import WHISPER_ROWS, Features
from training.unet.measure import GenerationOptions
from training.unet.opening_probe import OpeningProbe
from training.unet.train import CONFIG, OPENING_DEVIATION, WINDOW, build, save
from training.vae import train as train_vae

from ..one_thread import one_thread  # noqa: F401
from .small_autoencoder import small_autoencoder

LOSSES = tuple(field.name for field in dataclasses.fields(LossWeights))
SMALL_UNET = UNetConfig(  # two levels, with every part that learns
    block_channels=(32, 32),
    resnets_per_block=1,
    heads=2,
    norm_groups=2,
    down_attention=(True, False),
    up_attention=(False, True),
    motion=MotionConfig(heads=2),
    motion_levels=(True, True),
)
ALONE = {name: LossWeights(**dict.fromkeys(LOSSES, 0) | {name: 1}) for name in LOSSES}


@pytest.fixture(scope="module")
def clips():
    """Four clips whose frames, latents and states say which clip and frame they are."""
    rng = np.random.default_rng(0)
    frames, clip = np.arange(FRAMES), np.arange(4)
    whole = (frames / 100 + clip[:, None])[:, :, None, None, None] * np.ones((1, 1, 4, 16, 16))
    levels = (2 * frames + 25 * clip[:, None])[:, :, None, None, None] + rng.integers(0, 20, (1, 1, 3, 128, 128))
    audio_features = rng.standard_normal((4, WHISPER_ROWS, 5, 384)).astype(np.float16)
    waves = (rng.standard_normal((4, SAMPLES)) * 3000).astype(np.int16)
    openings = np.full((4, FRAMES), 0.1)
    whole, masked = ((whole + more).astype(np.float16) for more in (0, 10))
    seen = Features(whole, masked, audio_features, openings, audio_features[:0], np.zeros((4, FRAMES, 2)))
    return Stage2Clips(seen, Takes(levels.astype(np.uint8), np.zeros((4, FRAMES)), waves))


@pytest.fixture(scope="module")
def loss_networks():
    """Untrained ones: gradients pass through them as through trained ones."""
    torch.manual_seed(0)
    encoder = VideoEncoder(VideoEncoderConfig(width=24, blocks=1, heads=2, inner=48, patch=16, size=32))
    return LossNetworks(DiffusersCodec(small_autoencoder()), train_syncnet.build(), encoder, OpeningReader())


def perturbed_unet(config=SMALL_UNET):
    """A U-Net that has learnt something: nothing learns behind weights that are zero, as those of a new one are."""
    torch.manual_seed(1)
    unet = UNet.from_config(config).train()
    for name, parameter in unet.named_parameters():
        if name.startswith("conv_out") or "temporal_transformer.proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return unet


def test_a_gradients_norm_grows_with_its_losses_weight_and_is_none_where_nothing_depends_on_it(clips, loss_networks):
    unet = freeze_except_trained(perturbed_unet())
    found = compute_losses(unet, loss_networks, clips.batch(heard_step(clips), 0, 1), LossWeights())
    found["sync"] = found["sync"].detach()
    some = gradient_norms(unet, found, LossWeights(trepa=10.0))
    more = gradient_norms(unet, {name: found[name] for name in ("perceptual", "trepa")}, LossWeights(trepa=30.0))
    assert some["prediction"] > 0
    assert some["sync"] == 0
    assert more["trepa"] == pytest.approx(3 * some["trepa"], rel=1e-2)  # decoded in bfloat16
    assert more["perceptual"] == pytest.approx(some["perceptual"], rel=1e-3)


def heard_step(clips) -> int:
    return next(step for step in range(20) if clips.batch(step, 0, 1).has_audio.all())


def test_pictures_latents_and_sound_are_of_the_same_clip_and_time(clips):
    for step in range(8):
        batch = clips.batch(step, 0, 2)
        assert batch.pictures.shape == (2, 3, WINDOW, 128, 128)
        assert batch.mels.shape == (2, 1, 80, 52)
        # The mouth is of one clip, what lies in a corner of the take whose frames are shown: clip + frame / 100.
        place, shown = batch.windows.clean[:, 0, :, 12, 8], batch.windows.clean[:, 0, :, 0, 0]
        clip = place.floor()
        for latents, part in ((place, np.s_[90:110, 50:80]), (shown, np.s_[:20, :30])):
            levels = (batch.pictures[..., part[0], part[1]].mean((1, 3, 4)) + 1) * 127.5
            expected = 2 * 100 * (latents - latents.floor()) + 25 * latents.floor()
            assert (levels - expected - (levels - expected).mean()).abs().max() < 2
        for number in range(2):
            start = round(100 * (place - clip)[number, 0].item())
            mel = clips._mel_of(int(clip[number, 0]))
            first = start * 80 // 25
            assert torch.equal(batch.mels[number, 0], mel[:, first : first + 52])


def test_a_window_that_hears_nothing_says_so(clips):
    many = [clips.batch(step, 1, 2) for step in range(40)]
    silent = torch.cat([batch.windows.audio.abs().amax((1, 2, 3)) == 0 for batch in many])
    assert torch.equal(silent, ~torch.cat([batch.has_audio for batch in many]))
    assert 1 <= silent.sum() <= 20


def test_silent_recordings_come_with_closed_mouths_and_are_not_judged_by_syncnet():
    rng = np.random.default_rng(1)
    latents = rng.standard_normal((2, FRAMES, 4, 16, 16)).astype(np.float16)
    speech, silence = (np.full((2, WHISPER_ROWS, 5, 384), level, np.float16) for level in (1, 3))
    openings = np.stack([np.zeros(FRAMES), np.full(FRAMES, 0.1)])
    seen = Features(latents, latents, speech, openings, silence, np.zeros((2, FRAMES, 2)))
    drawn = Takes(np.zeros((2, FRAMES, 3, 128, 128), np.uint8), openings, np.ones((2, SAMPLES), np.int16))
    many = Stage2Clips(seen, drawn)
    batches = [many.batch(step, 0, 1) for step in range(40)]
    silent = [batch for batch in batches if batch.windows.audio.max() > 2]
    assert 2 <= len(silent) <= 20
    for batch in silent:
        assert not batch.has_audio.any()
        assert batch.windows.openings.max() == 0


def test_a_probe_makes_the_opening_a_part_of_the_first_stages_error(clips, loss_networks):
    unet, batch, none = perturbed_unet(), clips.batch(0, 0, 1), LossWeights(**dict.fromkeys(LOSSES, 0))
    torch.manual_seed(2)
    with torch.no_grad():
        plain, probed = (
            compute_losses(unet, loss_networks, batch, none, probe)["prediction"] for probe in (None, OpeningProbe())
        )
    assert probed > plain


def test_the_clean_estimate_is_the_engines():
    from diffusers import DDIMScheduler

    torch.manual_seed(0)
    noisy, predicted = torch.randn(2, 2, 4, 3, 5, 5)
    found = clean_estimate(noisy, predicted, torch.tensor([999, 19]))
    scheduler = DDIMScheduler(**NANO_SCHEDULE.to_dict())
    scheduler.set_timesteps(50)
    for number, step in enumerate((999, 19)):
        expected = scheduler.step(predicted[number], step, noisy[number]).pred_original_sample
        assert torch.allclose(found[number], expected, rtol=1e-4, atol=1e-4)


def test_the_true_v_leads_back_to_the_clean_latents(clips):
    windows = clips.batch(0, 0, 2).windows
    noisy = add_noise(windows.clean, windows.noise, windows.steps)
    true = velocity(windows.clean, windows.noise, windows.steps)
    assert torch.allclose(clean_estimate(noisy, true, windows.steps), windows.clean, atol=1e-4)


def test_every_loss_reaches_the_parts_that_learn_and_no_others(clips, loss_networks):
    unet = freeze_except_trained(perturbed_unet(), "attention")
    batch = clips.batch(heard_step(clips), 0, 1)
    for name, weights in ALONE.items():
        unet.zero_grad()
        losses = compute_losses(unet, loss_networks, batch, weights)
        assert set(losses) == {"prediction", name}
        losses[name].backward()
        for key, parameter in unet.named_parameters():
            assert (parameter.grad is not None) == any(part in key for part in TRAINED_PARTS["attention"]), key
        for part in TRAINED_PARTS["attention"]:
            assert max(p.grad.abs().max() for key, p in unet.named_parameters() if part in key) > 0, (name, part)
    fixed = [*loss_networks.vae.parameters(), *loss_networks.syncnet.parameters(), *loss_networks.encoder.parameters()]
    assert all(parameter.grad is None for parameter in fixed)


def test_the_losses_are_least_for_the_true_clip(loss_networks, clips):
    class Truth:
        """Decodes any latents to the window's own pictures."""

        def __init__(self, pictures):
            self.pictures = pictures

        def decode(self, latents):
            return type("Decoded", (), {"sample": self.pictures})

    batch = clips.batch(heard_step(clips), 0, 1)
    true = batch.pictures.transpose(1, 2).flatten(0, 1)
    found = []
    for pictures in (true, true.roll(5, 0) * 0.7):
        judged = LossNetworks.__new__(LossNetworks)
        judged.__dict__.update(loss_networks.__dict__, vae=Truth(pictures))
        found.append(judged.losses(batch.windows.clean, batch, LossWeights()))
    for name, least in {"pixels": 0.1, "patches": 0.1, "perceptual": 1e-3, "trepa": 1e-6}.items():
        assert found[0][name] == pytest.approx(0, abs=1e-9), name
        assert found[1][name] > least, name


def test_openings_and_their_deviation_are_read_off_both_pictures(clips, loss_networks):
    """A reader that takes a picture's brightness for the opening: what is drawn is half as bright, and steady."""

    class Halved:
        def decode(self, latents):
            return type("Decoded", (), {"sample": true.mean() * torch.full_like(true, 0.5)})

    batch = clips.batch(heard_step(clips), 0, 1)
    true = batch.pictures.transpose(1, 2).flatten(0, 1)
    judged = LossNetworks.__new__(LossNetworks)
    judged.__dict__.update(
        loss_networks.__dict__, vae=Halved(), opening_reader=lambda pictures: pictures.mean((1, 2, 3))
    )
    found = judged.losses(batch.windows.clean, batch, LossWeights(0, 0, 0, 0, 0, opening=1, spread=1))
    wanted = true.mean((1, 2, 3)) / OPENING_DEVIATION
    assert found["opening"].item() == pytest.approx((wanted - wanted.mean() / 2).square().mean().item(), rel=1e-3)
    assert found["spread"].item() == pytest.approx(wanted.var().item(), rel=1e-3)


def test_clips_in_another_appearance_are_held_against_their_decoded_latents(clips, loss_networks):
    whole, masked = (np.concatenate([part, part / 2]) for part in (clips._seen.whole, clips._seen.masked))
    twice = Stage2Clips(dataclasses.replace(clips._seen, whole=whole, masked=masked), clips._drawn)
    assert len(twice) == 2 * len(clips)
    batches = [twice.batch(step, 0, 1) for step in range(20)]
    others = [batch for batch in batches if batch.pictures.isnan().all()]
    assert 4 <= len(others) <= 16
    assert not any(batch.pictures.isnan().any() for batch in batches if batch not in others)
    for batch in others:
        place = 2 * batch.windows.clean[0, 0, 0, 12, 8].item()  # clip + frame / 100
        first = round(100 * (place % 1)) * 80 // 25
        assert torch.equal(batch.mels[0, 0], twice._mel_of(int(place))[:, first : first + 52])
    judged = next(batch for batch in others if batch.has_audio.all())
    same, brighter = (
        loss_networks.losses(judged.windows.clean + more, judged, LossWeights(sync=0, trepa=0)) for more in (0, 1)
    )
    for name, loss in same.items():
        assert loss.item() == pytest.approx(0, abs=1e-9), name
        assert brighter[name] > 0, name


@pytest.mark.usefixtures("one_thread")
def test_windows_of_the_first_stage_are_trained_on_beside(clips, loss_networks):
    start, weights = perturbed_unet(CONFIG).state_dict(), LossWeights(**dict.fromkeys(LOSSES, 0))
    parts = []
    train(
        clips, loss_networks, start, Budget(steps=1, learning_rate=1e-3), weights, stop_after=1,
        on_progress=lambda _, found: parts.append(found), first_stage=clips._seen,
    )  # fmt: skip
    assert set(parts[0]) == {"prediction", "varied"}
    assert parts[0]["varied"] > 0


def test_syncnet_is_not_asked_about_windows_that_hear_nothing(clips, loss_networks):
    batch = clips.batch(0, 0, 2)
    pictures = batch.pictures.transpose(1, 2)
    one = torch.tensor([True, False])
    with torch.no_grad():
        halves = [
            loss_networks._sync(pictures, type(batch)(batch.windows, batch.pictures, batch.mels, h))
            for h in (one, ~one)
        ]
        both = loss_networks._sync(pictures, type(batch)(batch.windows, batch.pictures, batch.mels, one | True))
        none = loss_networks._sync(pictures, type(batch)(batch.windows, batch.pictures, batch.mels, one & False))
    assert none == 0
    assert both.item() == pytest.approx((halves[0] + halves[1]).item() / 2, rel=1e-3)


def test_the_arms_differ_in_trepa_alone(clips, loss_networks):
    step = heard_step(clips)
    unet = perturbed_unet()
    with torch.no_grad():
        with_it = compute_losses(unet, loss_networks, clips.batch(step, 0, 1), LossWeights())
        without = compute_losses(unet, loss_networks, clips.batch(step, 0, 1), LossWeights(trepa=0))
    assert with_it.pop("trepa") > 0
    assert set(with_it) == set(without)
    assert all(torch.equal(with_it[name], without[name]) for name in without)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_ends_with_the_same_bits_and_leaves_the_rest_alone(clips, loss_networks, tmp_path):
    """Quick: test_an_interrupted_training_ends_with_the_same_bits_as_an_undisturbed_one, by the same loop,
    Quick: test_every_loss_reaches_the_parts_that_learn_and_no_others.
    """
    start = perturbed_unet(CONFIG).state_dict()
    budget = Budget(steps=2, learning_rate=0.02)
    through = train(clips, loss_networks, start, budget, parts="attention")
    train(clips, loss_networks, start, budget, run=tmp_path, parts="attention", stop_after=1)
    resumed = train(clips, loss_networks, start, budget, run=tmp_path, parts="attention")
    assert all(torch.equal(through[key], resumed[key]) for key in through)
    still = [key for key in through if not any(part in key for part in TRAINED_PARTS["attention"])]
    assert all(torch.allclose(through[key], start[key], rtol=1e-5) for key in still)
    assert any(not torch.allclose(through[key], start[key]) for key in set(through) - set(still))


def test_the_look_is_nearer_the_less_a_picture_is_disturbed():
    perceptual_distance = PerceptualDistance(train_vae.build())
    torch.manual_seed(2)
    picture, noise = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 3, 64, 64)
    distances = [perceptual_distance(picture + share * noise, picture).item() for share in (0, 0.05, 0.2, 0.5)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 0


def test_flicker_is_what_does_not_go_on_evenly_where_the_mouth_is_drawn():
    even = torch.linspace(0, 0.6, 12).view(-1, 1, 1, 1).expand(-1, 3, 128, 128)
    assert flicker(even) == pytest.approx(0, abs=1e-6)
    outside = even.clone()
    outside[::2, :, :40] += 0.1
    assert flicker(outside) == pytest.approx(0, abs=1e-6)
    trembling = even.clone()
    trembling[::2] += 2 / 255  # second differences of four levels
    assert flicker(trembling) == pytest.approx(16, rel=1e-3)


def test_a_pair_by_pair_gain_is_found_however_much_clips_differ():
    rng = np.random.default_rng(0)
    without = rng.lognormal(0, 1, (3, 30))
    found = comparison(without * 0.8, without)
    assert found["change in %, 95 %"] == [-20.0, -20.0, -20.0]
    assert found["change in % by seed"] == [-20.0] * 3
    unlike = comparison(rng.lognormal(0, 1, (3, 30)), without)["change in %, 95 %"]
    assert unlike[1] < 0 < unlike[2]


def test_the_true_clip_leaves_nothing_to_find(loss_networks):
    rng = np.random.default_rng(3)
    frames = 48  # 46 are the fewest that sync is measured of
    crops = rng.integers(0, 256, (2, frames, 3, 1, 1), np.uint8) * np.ones((1, 1, 1, 128, 128), np.uint8)
    voices = rng.standard_normal((2, frames * SAMPLES // FRAMES)).astype(np.float32) * 0.1
    true = np.stack([measure_openings(torch.from_numpy(clip).float() / 255) for clip in crops])
    eye = ClipEvaluator(loss_networks.encoder, loss_networks.encoder, loss_networks.syncnet)
    clips = TrueClips(crops, true, np.zeros((*true.shape, 2)), voices)
    found = eye.metrics(clips, crops)
    for name in (
        "temporal distance",
        "temporal distance, trained against",
        "flicker",
        "unsteadiness",
        "opening's flicker",
    ):
        assert np.allclose(found[name], 0, atol=1e-6), name
    shaken = eye.metrics(clips, np.roll(crops, 3, axis=1))
    assert (shaken["temporal distance"] > 1e-5).all()
    assert (shaken["unsteadiness"] > 1).all()
    said = figures({"with": [found, found], "without": [shaken, shaken]}, {"floor": found})
    assert said["temporal distance"]["change in %, 95 %"][0] == pytest.approx(-100, abs=0.1)
    assert (said["seeds"], said["clips"]) == (2, 2)


def test_a_clip_is_drawn_once_and_then_kept(tmp_path, monkeypatch):
    save(build().state_dict(), tmp_path / "unet.safetensors")
    train_vae.save(train_vae.build().state_dict(), tmp_path / "vae.safetensors")
    files = (tmp_path / "unet.safetensors", tmp_path / "vae.safetensors")
    clips = TrueClips(
        np.full((1, 4, 3, 128, 128), 90, np.uint8), np.zeros((1, 4)), np.zeros((1, 4, 2)), np.zeros((1, 2560))
    )
    once = generate_clips(*files, clips, [torch.zeros(4, 50, 384)], GenerationOptions(steps=1), tmp_path / "kept")
    monkeypatch.setattr("training.stage2.measure.load", None)
    again = generate_clips(*files, clips, [torch.zeros(4, 50, 384)], GenerationOptions(steps=1), tmp_path / "kept")
    assert np.array_equal(once, again)
    assert (once[0, :, :, :40] == 90).all()
    assert (once[0, :, :, 80:100, 50:80] != 90).any()
