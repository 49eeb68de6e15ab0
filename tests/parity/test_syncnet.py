"""SyncNet hears and sees what the reference's does, within the tolerances that the reference data recommends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from latentsync_core.errors import AudioError, ModelError
from latentsync_core.evaluation.sync_mel import mel_windows, sync_mel, window_columns
from latentsync_core.evaluation.syncnet import SyncNet, lower_halves, sync_loss, sync_similarity
from latentsync_core.evaluation.syncnet_config import SyncNetConfig
from tests.parity.makers.make_syncnet_data import reference_pictures, reference_samples
from tests.parity.moving_portraits import moving_portraits
from tests.parity.rule_weights import fill_by_rule, rule_tensor
from tests.shared_reference import SHARED, needs_shared

DATA = Path(__file__).parent / "data" / "syncnet.npz"
FULL = SHARED / "reference" / "syncnet"
MEL_ATOL, VECTOR_ATOL = 1e-5, 1e-4
SILENCE = -4.0


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(DATA))


@pytest.fixture(scope="module")
def tiny(golden) -> SyncNet:
    return fill_by_rule(SyncNet.from_config(json.loads(str(golden["config"])))).eval().requires_grad_(False)


def waveform(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 32768)


def distance(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max())


def test_the_mel_spectrogram_is_the_references(golden):
    assert distance(sync_mel(waveform(golden["samples"])), golden["mel"]) <= MEL_ATOL


def test_windows_begin_where_the_references_do(golden):
    mel = torch.from_numpy(golden["mel"])
    for window, start in zip(mel_windows(mel, golden["frame_starts"]), golden["window_starts"], strict=True):
        assert torch.equal(window[0], mel[:, start : start + 52])


def test_outside_the_sound_windows_hear_what_silence_gives(golden):
    mel = torch.from_numpy(golden["mel"])
    before, after = mel_windows(mel, [-1000, 1000])
    assert bool((before == SILENCE).all() and (after == SILENCE).all())
    assert bool((sync_mel(torch.zeros(16000)) == SILENCE).all())
    across = mel_windows(mel, [-5])[0, 0]  # 5 frames are 16 columns
    assert bool((across[:, :16] == SILENCE).all())
    assert torch.equal(across[:, 16:], mel[:, :36])


def test_a_minute_computed_in_pieces_is_the_same_as_each_piece_by_itself():
    sound = torch.randn(16000 * 62, generator=torch.Generator().manual_seed(5)) * 0.1
    whole, late = sync_mel(sound), sync_mel(sound[16000 * 58 :])
    torch.testing.assert_close(whole[:, 80 * 58 + 3 :], late[:, 3:])


def test_what_is_heard_is_the_references(golden, tiny):
    windows = mel_windows(torch.from_numpy(golden["mel"]), golden["frame_starts"])
    assert distance(tiny.embed_mel(windows), golden["heard"]) <= VECTOR_ATOL


def test_what_is_seen_is_what_a_network_that_agreed_with_the_reference_saw(golden, tiny):
    seen = tiny.embed_frames(lower_halves(moving_portraits()))
    assert distance(seen, golden["portraits_seen"].astype(np.float32)) <= VECTOR_ATOL


def test_the_full_model_has_the_released_checkpoints_keys_and_shapes(golden):
    config = SyncNetConfig.from_dict(json.loads(str(golden["full_config"])))
    assert config == SyncNetConfig()
    assert (config.face_size, config.frames, window_columns()) == ((256, 256), 16, 52)
    state = SyncNet.from_config(config, device="meta").state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == json.loads(str(golden["full_keys"]))
    assert sum(tensor.numel() for tensor in state.values()) == 401_306_080


def test_a_config_survives_the_way_to_a_dict_and_back(tiny):
    assert SyncNetConfig.from_dict(tiny.config.to_dict()) == tiny.config


def test_vectors_have_length_one_and_no_negative_part(tiny, golden):
    for vectors in (tiny.embed_frames(lower_halves(moving_portraits())), torch.from_numpy(golden["heard"])):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
        assert vectors.min() >= 0


def test_the_loss_is_finite_and_smallest_where_the_labels_are_right():
    vectors = torch.nn.functional.normalize(torch.rand(4, 64, generator=torch.Generator().manual_seed(1)))
    others = torch.zeros_like(vectors)
    assert sync_loss(vectors, vectors, torch.ones(4)) < 1e-5 < sync_loss(vectors, others, torch.ones(4)) < 101
    assert sync_loss(vectors, others, torch.zeros(4)) == 0


def test_the_loss_reaches_the_frames(tiny):
    frames = moving_portraits().requires_grad_()
    heard = tiny.embed_mel(torch.full((2, 1, 80, 52), SILENCE))
    sync_loss(tiny.embed_frames(lower_halves(frames)), heard, torch.ones(2)).backward()
    upper, lower = frames.grad[..., :128, :], frames.grad[..., 128:, :]
    assert upper.abs().max() == 0
    assert lower.abs().max() > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"downsample_factors": [2, 2]}, "different lengths"),
        ({"block_out_channels": [20] * 7}, "20 channels"),
        ({"block_out_channels": [32] * 7}, "ends with 32"),
        ({"block_out_channels": [64] * 7}, "64 and 128 values"),
        ({"in_channels": 2}, "2 audio"),
        ({"groups": 16}, "audio_encoder.groups"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused_by_name(golden, change, said):
    config = json.loads(str(golden["config"]))
    config["audio_encoder"] |= change
    with pytest.raises(ModelError, match=said):
        SyncNet.from_config(config)


def test_input_of_another_shape_is_refused(tiny):
    with pytest.raises(ModelError, match="resize the faces to 256 x 256"):
        tiny.embed_frames(torch.zeros(1, 48, 64, 128))
    with pytest.raises(ModelError, match="mel_windows"):
        tiny.embed_mel(torch.zeros(1, 1, 80, 50))
    with pytest.raises(AudioError, match="one channel"):
        sync_mel(torch.zeros(2, 16000))


@needs_shared
def test_the_small_network_gives_every_vector_and_loss_of_the_reference():
    facts, cases = json.loads((FULL / "syncnet.json").read_text()), np.load(FULL / "cases.npz")
    net = SyncNet.from_config(facts["config"]).eval().requires_grad_(False)
    net.load_state_dict(load_file(FULL / "syncnet_tiny.safetensors"))
    mel = sync_mel(waveform(reference_samples()))
    windows = mel_windows(mel, facts["frame_starts"])
    assert distance(mel, np.load(FULL / "mel.npz")["melspectrogram"].astype(np.float32)) <= MEL_ATOL
    assert distance(windows, cases["mel_windows"]) <= MEL_ATOL

    seen, heard = net(reference_pictures(), windows)
    assert distance(seen, cases["vision_embeds"]) <= VECTOR_ATOL
    assert distance(heard, cases["audio_embeds"]) <= VECTOR_ATOL
    assert sync_similarity(seen, heard).tolist() == pytest.approx(facts["cosine_sim"], abs=1e-5)
    in_sync = torch.from_numpy(cases["y"])[:, 0]
    assert float(sync_loss(seen, heard, in_sync)) == pytest.approx(facts["bce_mean"], abs=1e-5)
    for index, expected in enumerate(facts["bce_of_cosine_each"]):
        one = slice(index, index + 1)
        assert float(sync_loss(seen[one], heard[one], in_sync[one])) == pytest.approx(expected, abs=1e-5)


@needs_shared
def test_the_rules_weights_are_the_references(tiny):
    expected = load_file(FULL / "syncnet_tiny.safetensors")
    assert expected.keys() == tiny.state_dict().keys()
    for key, tensor in tiny.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], atol=2e-6, rtol=0)


@needs_shared
@pytest.mark.slow
def test_the_full_model_gives_the_references_vectors():
    """Quick: test_what_is_heard_is_the_references, of the small network."""
    golden = np.load(FULL / "full_config_rule.npz")
    net = SyncNet.from_config(SyncNetConfig(), device="meta").eval().requires_grad_(False)
    net.load_state_dict({key: rule_tensor(key, slot.shape) for key, slot in net.state_dict().items()}, assign=True)
    seen, heard = net(reference_pictures(), torch.from_numpy(np.load(FULL / "cases.npz")["mel_windows"]))
    assert distance(seen, golden["vision_embeds"]) <= VECTOR_ATOL
    assert distance(heard, golden["audio_embeds"]) <= VECTOR_ATOL
