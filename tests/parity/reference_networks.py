"""The reference data's small networks, built by our own classes and filled by the weight rule."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open

from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import DiffusersCodec
from tests.parity.rule_weights import fill_by_rule

TINY_VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [32, 32, 64, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 128,
}


def tiny_unet_config() -> dict:
    """The `model` section that the small U-Net was made from."""
    with safe_open(Path(__file__).parent / "data" / "unet_tiny.safetensors", "pt") as file:
        return json.loads(file.metadata()["config"])


def tiny_unet() -> UNet:
    return fill_by_rule(UNet.from_config(tiny_unet_config())).eval()


def tiny_codec() -> DiffusersCodec:
    codec = DiffusersCodec.from_config(TINY_VAE)
    fill_by_rule(codec.vae)
    return codec
