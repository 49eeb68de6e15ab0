"""TREPA's features, loss and gradient are the reference's, within the tolerances that the reference data recommends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from latentsync_core.trepa.loss import trepa_loss
from latentsync_core.trepa.video_encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    clip_features,
    position_table,
    preprocess_clips,
)
from tests.parity.makers.make_trepa_data import CASES, SOURCE, portrait_clips, reference_clips, thinned, tiny_encoder
from tests.shared_reference import needs_shared

DATA = Path(__file__).parent / "data" / "trepa.npz"
FEATURE_ATOL, LOSS_RTOL, GRADIENT_RTOL = 1e-5, 1e-3, 1e-3
CLASSIFIER = {"head.weight", "head.bias"}  # the released file's, which nothing needs


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(DATA))


@pytest.fixture(scope="module")
def tiny() -> VideoEncoder:
    return tiny_encoder()


def distance(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max())


def gradient_of(encoder: VideoEncoder, predicted: torch.Tensor, real: torch.Tensor) -> tuple[float, torch.Tensor]:
    predicted = predicted.clone().requires_grad_()
    loss = trepa_loss(encoder, predicted, real)
    (gradient,) = torch.autograd.grad(loss, predicted)
    return float(loss.detach()), thinned(gradient)


@pytest.mark.parametrize("case", CASES)
def test_features_loss_and_gradient_are_those_of_a_network_that_agreed_with_the_reference(case, golden, tiny):
    predicted, real = portrait_clips(CASES[case])
    features = clip_features(tiny, torch.cat([predicted, real]))
    loss, gradient = gradient_of(tiny, predicted, real)
    assert distance(features, golden[f"{case}.features"]) <= FEATURE_ATOL
    assert loss == pytest.approx(float(golden[f"{case}.loss"]), rel=LOSS_RTOL)
    expected = golden[f"{case}.gradient"]
    assert distance(gradient, expected) <= GRADIENT_RTOL * np.abs(expected).max()


def test_the_position_table_is_the_references(golden):
    assert distance(position_table(2048, 64)[:, ::64], golden["positions"]) == 0


def test_the_default_config_has_the_released_vit_gs_keys_and_shapes(golden):
    expected = json.loads(str(golden["full_keys"]))
    state = VideoEncoder(VideoEncoderConfig(), device="meta").state_dict()
    assert expected.keys() >= CLASSIFIER
    shapes = {key: list(tensor.shape) for key, tensor in state.items()}
    assert shapes == {key: shape for key, shape in expected.items() if key not in CLASSIFIER}


def test_the_default_config_is_the_released_one(golden):
    theirs, ours = json.loads(str(golden["full_config"])), VideoEncoderConfig()
    assert (ours.width, ours.blocks, ours.heads) == (theirs["embed_dim"], theirs["depth"], theirs["num_heads"])
    assert (ours.inner, ours.norm_eps, ours.patch) == (theirs["mlp_hidden"], theirs["norm_eps"], theirs["patch_size"])
    assert (ours.frames, ours.tubelet, ours.size) == (theirs["all_frames"], theirs["tubelet_size"], theirs["img_size"])


@needs_shared
@pytest.mark.parametrize("case", ["case0", "case1"])
def test_the_references_clips_give_the_references_input_features_and_loss(case, tiny):
    cases = np.load(SOURCE / "cases.npz")
    fake, real = reference_clips(cases, case)
    fake = fake * float(cases[f"{case}.fake_scale"][0])
    prepared = preprocess_clips(fake, 224)
    assert distance(prepared[:, :, ::5, ::16, ::16], cases[f"{case}.model_input_fake_sub"]) <= 1e-6
    assert distance(clip_features(tiny, fake), cases[f"{case}.feats_fake"]) <= FEATURE_ATOL
    assert distance(clip_features(tiny, real), cases[f"{case}.feats_real"]) <= FEATURE_ATOL
    assert float(trepa_loss(tiny, fake, real)) == pytest.approx(float(cases[f"{case}.loss"][0]), rel=LOSS_RTOL)


@needs_shared
def test_the_references_unscaled_clip_gives_the_references_loss_and_gradient(tiny):
    cases = np.load(SOURCE / "cases.npz")
    loss, gradient = gradient_of(tiny, *reference_clips(cases, "case0"))
    expected = cases["case0.noscale_grad_sub"]
    assert loss == pytest.approx(float(cases["case0.noscale_loss"][0]), rel=LOSS_RTOL)
    assert distance(gradient, expected) <= GRADIENT_RTOL * np.abs(expected).max()


@needs_shared
def test_the_rules_weights_are_the_references(tiny):
    expected = load_file(SOURCE / "videomae_tiny.safetensors")
    assert tiny.state_dict().keys() == expected.keys() - CLASSIFIER
    for key, tensor in tiny.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], atol=2e-6, rtol=0)
