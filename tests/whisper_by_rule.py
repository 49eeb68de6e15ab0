"""A Whisper checkpoint in OpenAI's layout with the reference's rule weights: small enough to build in every test."""

from __future__ import annotations

import math

import torch

from tests.parity.rule_weights import rule_tensor

SMALL = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 2, "n_audio_layer": 2}


def openai_checkpoint(dims: dict[str, int] = SMALL) -> dict:
    """``{"dims", "model_state_dict"}`` as torch.load gives it, with one decoder tensor to be ignored."""
    state = {key: rule_tensor(key, shape) for key, shape in _encoder_shapes(dims).items()}
    state["encoder.positional_embedding"] = sinusoids(dims["n_audio_ctx"], dims["n_audio_state"])
    state["decoder.ln.weight"] = rule_tensor("decoder.ln.weight", (dims["n_audio_state"],))
    return {"dims": dict(dims), "model_state_dict": state}


def sinusoids(length: int, channels: int) -> torch.Tensor:
    """Whisper's position table: sines, then cosines, of wavelengths from 2 pi to 20000 pi rows."""
    half = channels // 2
    rates = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _encoder_shapes(dims: dict[str, int]) -> dict[str, tuple[int, ...]]:
    width, mels = dims["n_audio_state"], dims["n_mels"]
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.conv1.weight": (width, mels, 3),
        "encoder.conv1.bias": (width,),
        "encoder.conv2.weight": (width, width, 3),
        "encoder.conv2.bias": (width,),
    }
    for block in range(dims["n_audio_layer"]):
        for part, shape in {
            "attn.query": (width, width),
            "attn.key": (width, width),
            "attn.value": (width, width),
            "attn.out": (width, width),
            "attn_ln": (width,),
            "mlp.0": (4 * width, width),
            "mlp.2": (width, 4 * width),
            "mlp_ln": (width,),
        }.items():
            shapes[f"encoder.blocks.{block}.{part}.weight"] = shape
            if part != "attn.key":
                shapes[f"encoder.blocks.{block}.{part}.bias"] = shape[:1]
    shapes["encoder.ln_post.weight"] = shapes["encoder.ln_post.bias"] = (width,)
    return shapes
