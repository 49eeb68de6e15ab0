"""The video encoder's files and relatives, what the TREPA loss may touch, and what the scores promise."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from latentsync_core.errors import ModelError, OptionError
from latentsync_core.evaluation.scores import sweep_offsets, sync_score, temporal_distance
from latentsync_core.evaluation.syncnet import SyncNet, load_syncnet, save_syncnet
from latentsync_core.evaluation.syncnet_config import EncoderConfig, SyncNetConfig
from latentsync_core.trepa.loss import trepa_loss
from latentsync_core.trepa.video_encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    clip_features,
    from_transformers,
    load_video_encoder,
    save_video_encoder,
)
from tests.parity.moving_portraits import moving_portraits
from tests.parity.rule_weights import fill_by_rule

SMALL = VideoEncoderConfig(width=48, blocks=2, heads=3, inner=96, patch=8, size=32)
FACTORS = ((1, 2), (2, 2), (2, 2), (2, 2))  # 8 x 16: lower halves of faces of 16 x 16
SMALL_SYNCNET = SyncNetConfig(
    audio=EncoderConfig(1, (32, 32, 32, 64, 64), ((4, 3), (4, 4), (5, 4), (1, 1), (1, 1)), (False,) * 5),
    visual=EncoderConfig(48, (32, 32, 64, 64), FACTORS, (False, False, True, False)),
)


@pytest.fixture(scope="module")
def encoder() -> VideoEncoder:
    return fill_by_rule(VideoEncoder(SMALL)).eval().requires_grad_(False)


def clips(size: int = 64) -> torch.Tensor:
    return moving_portraits(size).transpose(1, 2)  # b f c h w -> b c f h w


def gradient_of(encoder: VideoEncoder, clips_per_batch: int = 1) -> torch.Tensor:
    predicted = clips().requires_grad_()
    trepa_loss(encoder, predicted, clips().flip(0), clips_per_batch).backward()
    return predicted.grad


def test_the_loss_touches_the_predicted_frames_alone(encoder):
    predicted, real = clips().requires_grad_(), clips().flip(0).requires_grad_()
    trepa_loss(encoder, predicted, real).backward()
    assert predicted.grad.abs().max() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_pieces_and_recomputing_change_neither_loss_nor_gradient(encoder):
    expected = gradient_of(encoder, clips_per_batch=2)
    bound = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(gradient_of(encoder, clips_per_batch=1), expected, atol=bound, rtol=0)
    encoder.gradient_checkpointing = True
    try:
        torch.testing.assert_close(gradient_of(encoder), expected, atol=bound, rtol=0)
    finally:
        encoder.gradient_checkpointing = False


def test_following_the_gradient_brings_the_clip_nearer(encoder):
    predicted, real = clips()[:1], clips()[1:]
    moving = predicted.clone().requires_grad_()
    before = trepa_loss(encoder, moving, real)
    before.backward()
    step = 0.2 * before.detach() / moving.grad.square().sum()  # a fifth less, were the loss a plane
    after = trepa_loss(encoder, predicted - step * moving.grad, real)
    assert 0.7 * before < after < 0.9 * before


def test_a_clip_is_at_no_distance_from_itself_and_distances_go_both_ways(encoder):
    panned, dimming = moving_portraits(64)
    longer = torch.cat([panned, panned.flip(0)[:5]])  # 21 frames: windows 0-15 and 5-20
    changed = torch.cat([dimming, dimming.flip(0)[:5]])
    assert temporal_distance(encoder, longer, longer) == 0
    there, back = temporal_distance(encoder, longer, changed), temporal_distance(encoder, changed, longer)
    assert there == pytest.approx(back, rel=1e-9)
    assert there > 0


def test_the_distance_of_one_window_is_half_the_width_times_the_loss(encoder):
    panned, dimming = moving_portraits(64)
    loss = trepa_loss(encoder, clips()[:1], clips()[1:])
    assert temporal_distance(encoder, panned, dimming) == pytest.approx(SMALL.width / 2 * float(loss), rel=1e-3)


def test_every_frame_counts_in_the_distance(encoder):
    still = torch.zeros(37, 3, 32, 32)
    for frame in (0, 18, 36):
        flash = still.clone()
        flash[frame] = 1
        assert temporal_distance(encoder, still, flash) > 1e-6


def test_a_saved_encoder_comes_back_the_same(encoder, tmp_path):
    loaded = load_video_encoder(save_video_encoder(encoder, tmp_path / "encoder.safetensors"))
    assert loaded.config == encoder.config
    assert torch.equal(clip_features(loaded, clips()), clip_features(encoder, clips()))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("wrapper", ["model", "module", None])
def test_the_released_files_wrappings_and_classifier_are_read(encoder, tmp_path, wrapper, monkeypatch):
    sizes = dataclasses.asdict(SMALL)
    monkeypatch.setattr("latentsync_core.trepa.video_encoder.VideoEncoderConfig", lambda: VideoEncoderConfig(**sizes))
    state = encoder.state_dict() | {"head.weight": torch.zeros(10, 48), "head.bias": torch.zeros(10)}
    torch.save({wrapper: state} if wrapper else state, tmp_path / "released.pth")
    loaded = load_video_encoder(tmp_path / "released.pth")
    assert torch.equal(clip_features(loaded, clips()), clip_features(encoder, clips()))


def test_another_networks_file_is_refused_with_the_way_out(encoder, tmp_path):
    net = SyncNet.from_config(SMALL_SYNCNET)
    other = save_syncnet(net, tmp_path / "syncnet.safetensors")
    with pytest.raises(ModelError, match=r"another network's config.*give VideoMAE-v2's"):
        load_video_encoder(other)
    with pytest.raises(ModelError, match=r"no file of weights at .*give VideoMAE-v2's"):
        load_video_encoder(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="not 'audio_encoder'"):
        load_syncnet(save_video_encoder(encoder, tmp_path / "encoder.safetensors"))
    torch.save({"state_dict": encoder.state_dict()}, tmp_path / "encoder.pt")
    with pytest.raises(ModelError, match=r"lacks .*stable_syncnet.pt"):
        load_syncnet(tmp_path / "encoder.pt")


def test_a_clip_of_another_length_is_refused(encoder):
    with pytest.raises(ModelError, match=r"\(b, 3, 16, h, w\)"):
        clip_features(encoder, torch.zeros(1, 3, 12, 32, 32))
    with pytest.raises(OptionError, match="at least 16"):
        temporal_distance(encoder, torch.zeros(12, 3, 32, 32), torch.zeros(12, 3, 32, 32))


@pytest.mark.parametrize("change", [{"heads": 5}, {"size": 30}, {"frames": 15}, {"blocks": 0}])
def test_sizes_that_do_not_divide_are_refused(change):
    with pytest.raises(ModelError, match=f"has .*{next(iter(change.values()))}|no multiple"):
        VideoEncoder(dataclasses.replace(SMALL, **change))


@pytest.mark.parametrize("kind", ["VideoMAEModel", "VideoMAEForPreTraining", "VideoMAEForVideoClassification"])
def test_an_encoder_trained_with_transformers_gives_the_same_features_here(kind):
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=16, tubelet_size=2, hidden_size=48, num_hidden_layers=2,
        num_attention_heads=3, intermediate_size=96, layer_norm_eps=1e-6, use_mean_pooling=True,
        decoder_hidden_size=24, decoder_num_attention_heads=2, decoder_num_hidden_layers=1,
        decoder_intermediate_size=48,
    )  # fmt: skip
    theirs = fill_by_rule(getattr(transformers, kind)(config)).eval()
    prepared = torch.rand(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(3))
    ours = from_transformers(theirs)
    with torch.no_grad():
        backbone = getattr(theirs, "videomae", theirs)
        tokens = backbone(prepared.transpose(1, 2)).last_hidden_state  # they take b f c h w
        expected = getattr(theirs, "fc_norm", lambda mean: F.layer_norm(mean, (48,), eps=1e-6))(tokens.mean(1))
        torch.testing.assert_close(ours(prepared), expected, atol=1e-5, rtol=0)


def test_a_transformers_model_with_another_pooling_is_refused():
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, hidden_size=48, num_hidden_layers=1, num_attention_heads=3, intermediate_size=96,
        use_mean_pooling=False,
    )  # fmt: skip
    with pytest.raises(ModelError, match="use_mean_pooling=True"):
        from_transformers(transformers.VideoMAEModel(config))


def unit_vectors(count: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.rand(count, 32, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("shift", [-15, -4, 0, 1, 15])
def test_a_shifted_sound_is_found_at_its_shift(shift):
    motion = unit_vectors(140)
    seen = motion[40:100]  # what is seen at frame s is heard at frame s + shift
    heard = motion[40 - 15 - shift : 100 + 15 - shift]
    score = sweep_offsets(seen, heard)
    assert score.offset == shift
    assert score.distance == pytest.approx(0, abs=1e-6)
    assert score.distances[15 + shift] == score.distance
    assert (score.distance_at_zero == score.distance) == (shift == 0)
    assert score.confidence > 0.3


def test_an_unrelated_sound_has_less_confidence_than_the_right_one():
    motion, other = unit_vectors(100), unit_vectors(100, seed=1)
    right, wrong = sweep_offsets(motion[15:85], motion), sweep_offsets(motion[15:85], other)
    assert wrong.confidence < 0.2 * right.confidence
    assert len(wrong.distances) == 31


class Ear(SyncNet):
    """A SyncNet whose vectors are made by hand: pictures and sound alike tell how loud each of some frames is."""

    def embed_frames(self, pictures):
        return F.normalize(pictures.unflatten(1, (16, 3)).mean(dim=(2, 3, 4)) + 1.01)

    def embed_mel(self, mel):
        # 52 columns are 16.25 frames; a tone's level above silence at the middle of each frame
        at = [int(80 * (frame + 0.5) / 25) for frame in range(16)]
        return F.normalize((mel[:, 0].amax(dim=1)[:, at] > -3.5).float() * 2 + 0.01)


def clapping(fps: Fraction, seconds: float, late: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames that flash white and a sound that beeps in the same irregular rhythm, `late` seconds later."""
    beats = [0.52, 1.08, 1.32, 1.92, 2.16, 2.84, 3.4]

    def on(time: float) -> bool:
        return any(beat <= time < beat + 0.2 for beat in beats)

    frames = torch.stack([torch.full((3, 24, 24), 1.0 if on(i / fps) else -1.0) for i in range(int(seconds * fps))])
    times = torch.arange(int(seconds * 16000)) / 16000
    envelope = torch.tensor([on(t) for t in (times - late).tolist()]).float()
    return frames, envelope * torch.sin(2 * math.pi * 880 * times)


@pytest.mark.parametrize(("fps", "late"), [(Fraction(25), 0), (Fraction(25), 5), (Fraction(50), -3)])
def test_a_late_sound_is_scored_as_late_at_any_frame_rate(fps, late):
    frames, sound = clapping(fps, seconds=4.2, late=late / 25)
    seen_progress = []
    score = sync_score(
        Ear(SMALL_SYNCNET), frames, sound, fps, on_progress=lambda done, total: seen_progress.append((done, total))
    )
    assert score.offset == late
    assert score.confidence > 0.2
    assert seen_progress[-1][0] == seen_progress[-1][1]


def test_a_clip_or_sound_too_short_for_the_sweep_is_refused():
    net = fill_by_rule(SyncNet.from_config(SMALL_SYNCNET)).eval()
    frames, sound = torch.zeros(46, 3, 16, 16), torch.zeros(46 * 640)
    assert len(sync_score(net, frames[:31], sound).distances) == 31
    with pytest.raises(OptionError, match="46 frames"):
        sync_score(net, frames[:30], sound)
    with pytest.raises(OptionError, match="46 frames"):
        sync_score(net, frames, sound[:-700])
    assert len(sync_score(net, frames[:24], sound, max_offset=4).distances) == 9


def test_a_saved_syncnet_comes_back_the_same(tmp_path):
    net = fill_by_rule(SyncNet.from_config(SMALL_SYNCNET)).eval()
    loaded = load_syncnet(save_syncnet(net, tmp_path / "syncnet.safetensors"))
    pictures = torch.rand(2, 48, 8, 16, generator=torch.Generator().manual_seed(2))
    assert loaded.config == net.config
    assert torch.equal(loaded.embed_frames(pictures), net.embed_frames(pictures))
