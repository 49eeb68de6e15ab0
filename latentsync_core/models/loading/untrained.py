"""A small model with random weights that runs through every stage: for trying out, measuring and testing."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch

from ..checkpoints.tensors import fill
from ..model import LatentSyncModel, resolve_device, resolve_dtype
from ..unet.compiled import compile_unet
from ..unet.config import UNetConfig
from ..unet.unet import UNet
from ..vae import SD_VAE_CONFIG, DiffusersCodec
from ..whisper.encoder import WhisperEncoder

NAME = "untrained"
SEED = 20_260_101
RESOLUTION = 64  # pixels; noise looks the same at 512, and takes 64 times as long
CHANNELS = (32, 32, 64, 64)  # of both U-Net and VAE, which otherwise are built as the released ones
WHISPER_SIZES = {  # (width, heads, blocks); "tiny" is OpenAI's tiny
    "small": (64, 2, 2),
    "tiny": (384, 6, 4),
}
MEL_BANDS, SEGMENT_ROWS = 80, 1500


def untrained_model(
    resolution: int = RESOLUTION,
    whisper: str = "small",
    device: str = "auto",
    precision: str = "auto",
    operations: Any = None,
    compile: bool = False,
) -> LatentSyncModel:
    """The demonstration model: the same classes as a real one with 3.6 million weights in its U-Net, the same on every
    machine, and no idea of lips.

    `whisper` is "small" (30 audio tokens, 64 wide) or "tiny", the size of the released models (50 tokens, 384).
    `operations` is as UNet.from_config takes it, `compile` as LoadOptions has it.
    """
    resolved_device = resolve_device(device)
    dtype = resolve_dtype(precision, resolved_device)
    generator = torch.Generator("cpu").manual_seed(SEED)
    width, heads, blocks = WHISPER_SIZES[whisper]
    unet = UNet.from_config(UNetConfig(block_channels=CHANNELS, audio_width=width), operations, device="meta")
    codec = DiffusersCodec.from_config(SD_VAE_CONFIG | {"block_out_channels": list(CHANNELS)}, device="meta")
    for network in (unet, codec.vae):
        random_state = {
            key: _random_weights(key, template, generator) for key, template in network.state_dict().items()
        }
        fill(network, lambda random_state=random_state: random_state, NAME, resolved_device, dtype)
    dims = {
        "n_mels": MEL_BANDS,
        "n_audio_ctx": SEGMENT_ROWS,
        "n_audio_state": width,
        "n_audio_head": heads,
        "n_audio_layer": blocks,
    }
    shapes = _whisper_shapes(width, blocks)
    state = {key: _random_weights(key, torch.empty(shape, device="meta"), generator) for key, shape in shapes.items()}
    encoder = WhisperEncoder.from_openai({"dims": dims, "model_state_dict": state})
    if compile:
        compile_unet(unet)
    facts = (NAME, SEED, whisper, resolution, dtype)
    return LatentSyncModel(
        name=NAME,
        unet=unet,
        codec=codec,
        whisper=encoder.to(resolved_device),
        resolution=resolution,
        device=resolved_device,
        dtype=dtype,
        digest=hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest(),
        demonstration=True,
    )


def _random_weights(key: str, template: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Weights that keep a signal's size on its way through; norms start as no change, biases as nothing."""
    if not template.is_meta:
        return template  # a table that the class computes
    if template.ndim >= 2:
        return torch.randn(template.shape, generator=generator) / math.sqrt(math.prod(template.shape[1:]))
    return torch.ones(template.shape) if key.endswith("weight") else torch.zeros(template.shape)


def _whisper_shapes(width: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """Names, as OpenAI gives them, and shapes of a Whisper encoder's weights."""
    layers = {"conv1": (width, MEL_BANDS, 3), "conv2": (width, width, 3), "ln_post": (width,)}
    for index in range(blocks):
        block = f"blocks.{index}"
        layers |= {f"{block}.attn.{part}": (width, width) for part in ("query", "key", "value", "out")}
        layers |= {f"{block}.attn_ln": (width,), f"{block}.mlp_ln": (width,)}
        layers |= {f"{block}.mlp.0": (4 * width, width), f"{block}.mlp.2": (width, 4 * width)}
    shapes = {"encoder.positional_embedding": (SEGMENT_ROWS, width)}
    for name, shape in layers.items():
        shapes[f"encoder.{name}.weight"] = shape
        if not name.endswith("attn.key"):  # the one layer without a bias
            shapes[f"encoder.{name}.bias"] = shape[:1]
    return shapes
