"""The VAE encodes and decodes as the reference does; the tolerance is the one that the reference data recommends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from latentsync_core.models.vae import DiffusersCodec
from tests.parity.rule_weights import fill_by_rule
from tests.shared_reference import SHARED, needs_shared

DATA = Path(__file__).parent / "data"
PIPELINE = SHARED / "reference/pipeline"
ATOL = 1e-4


@pytest.fixture(scope="module")
def codec() -> DiffusersCodec:
    with safe_open(DATA / "vae_tiny.safetensors", "pt") as file:
        codec = DiffusersCodec.from_config(json.loads(file.metadata()["config"]))
    fill_by_rule(codec.vae)
    return codec


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    return load_file(PIPELINE / "inputs.safetensors")


def frames_first(video: torch.Tensor) -> torch.Tensor:
    return video[0].transpose(0, 1)  # 1 c f h w -> f c h w


def test_a_frame_is_decoded_as_in_the_reference(codec):
    golden = load_file(DATA / "vae_tiny.safetensors")
    torch.testing.assert_close(codec.decode(golden["latents"]), golden["decoded"], atol=ATOL, rtol=0)


@needs_shared
def test_every_frame_is_decoded_as_in_the_reference(codec):
    run = load_file(PIPELINE / "run_steps4_g1.0.safetensors")
    decoded = codec.decode(frames_first(run["final_latents"]))
    torch.testing.assert_close(decoded, run["decoded"], atol=ATOL, rtol=0)


@needs_shared
@pytest.mark.parametrize("kind", ["ref", "masked"])
def test_the_encoders_distribution_is_the_references(codec, inputs, kind):
    pixels = inputs["w1.ref_pixel_values" if kind == "ref" else "w1.masked_pixel_values_f32"]
    distribution = codec.vae.encode(pixels).latent_dist
    torch.testing.assert_close(distribution.mean, inputs[f"w1.{kind}.vae_mean"], atol=ATOL, rtol=0)
    torch.testing.assert_close(distribution.logvar, inputs[f"w1.{kind}.vae_logvar"], atol=ATOL, rtol=0)


@needs_shared
def test_the_references_noise_gives_the_references_latents(codec, inputs):
    faces = inputs["faces_u8"].float() / 255 * 2 - 1
    for window, frames in (("w0", slice(0, 16)), ("w1", slice(16, 20))):
        latents = codec.encode(faces[frames], inputs[f"{window}.ref.vae_noise"])
        torch.testing.assert_close(latents, frames_first(inputs[f"{window}.ref_latents"]), atol=ATOL, rtol=0)
    masked = codec.encode(inputs["w1.masked_pixel_values_f32"], inputs["w1.masked.vae_noise"])
    torch.testing.assert_close(masked, frames_first(inputs["w1.masked_image_latents"]), atol=ATOL, rtol=0)
