"""SyncNet: embeds sixteen video frames and their audio; the embeddings are close where both are in sync.

The network is LatentSync's StableSyncNet (Li et al. 2024, https://arxiv.org/abs/2412.09262): two stacks of residual and
attention blocks, one for the lower halves of the frames and one for the mel spectrogram, each ending in one vector;
their cosine is the answer. It supervises training and scores results; dubbing never runs it. The names of its
state-dict entries are those of the released checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ModelError
from ..models.checkpoints.claims import build_or_raise, check_vae
from ..models.checkpoints.network_file import read_config, save_network
from ..models.checkpoints.tensors import fill, read_tensors
from ..models.unet.attention import FeedForward
from ..models.unet.layers import LayerFactory
from .sync_mel import N_MELS, window_columns
from .syncnet_config import NORM_GROUPS, EncoderConfig, SyncNetConfig

CARRIED_SYNCNET = Path(__file__).parents[1] / "assets" / "evaluation" / "syncnet.safetensors"
REMEDY = "give LatentSync's stable_syncnet.pt or a file of save_syncnet"
NORM_EPS = 1e-6
HEADS = 8


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; then, where `factor` is not 1, a third that strides."""

    def __init__(self, inputs: int, outputs: int, factor: tuple[int, int], dropout: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(NORM_GROUPS, inputs, eps=NORM_EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(NORM_GROUPS, outputs, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.downsample_conv = nn.Conv2d(outputs, outputs, 3, stride=factor) if factor != (1, 1) else None
        # A side that shrinks is padded at its end only, one that keeps its length at both; F.pad wants width first.
        self.padding = tuple(pad for step in reversed(factor) for pad in ((1, 1) if step == 1 else (0, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        x = self.conv_shortcut(x) + self.conv2(self.dropout(F.silu(self.norm2(inner))))
        return x if self.downsample_conv is None else self.downsample_conv(F.pad(x, self.padding))


class SelfAttention(nn.Module):
    """Multi-head attention among tokens (n, t, channels); unlike the U-Net's, its q, k and v have biases."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        split = (project(tokens).unflatten(-1, (HEADS, -1)) for project in (self.to_q, self.to_k, self.to_v))
        mixed = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in split))  # n heads t d
        return self.to_out(mixed.transpose(1, 2).flatten(2))  # n heads t d -> n t channels


class AttentionBlock(nn.Module):
    """Lets every pixel of (n, channels, h, w) see all others."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(NORM_GROUPS, channels, eps=NORM_EPS)
        self.conv_in = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.LayerNorm(channels)
        self.attn = SelfAttention(channels, dropout)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(LayerFactory(), channels)
        self.ff.net[1] = nn.Dropout(dropout)
        self.conv_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv_in(self.norm1(x)).flatten(2).transpose(1, 2)  # n c h w -> n (h w) c
        tokens = tokens + self.attn(self.norm2(tokens))
        tokens = tokens + self.ff(self.norm3(tokens))
        return x + self.conv_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))  # n (h w) c -> n c h w


class Encoder(nn.Module):
    """From (n, in_channels, h, w), h and w of `config.size`, to (n, channels) values of 0 or more."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        width = config.block_channels[0]
        self.conv_in = nn.Conv2d(config.in_channels, width, 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for outputs, factor, attention in zip(config.block_channels, config.factors, config.attention, strict=True):
            self.down_blocks.append(ResidualBlock(width, outputs, factor, config.dropout))
            if attention:
                self.down_blocks.append(AttentionBlock(outputs, config.dropout))
            width = outputs
        self.norm_out = nn.GroupNorm(NORM_GROUPS, width, eps=NORM_EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return F.relu(self.norm_out(x)).flatten(1)


class SyncNet(nn.Module):
    """Gives frames and sound a unit vector each. Build it with `from_config`."""

    def __init__(self, config: SyncNetConfig):
        super().__init__()
        self.config = config
        self.audio_encoder = Encoder(config.audio)
        self.visual_encoder = Encoder(config.visual)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | SyncNetConfig, device: torch.device | str | None = None
    ) -> SyncNet:
        """Builds the network of an upstream config's `model` section; device "meta" takes no memory for weights.

        Raises ModelError for a config that can't be followed.
        """
        if not isinstance(config, SyncNetConfig):
            config = SyncNetConfig.from_dict(config)
        with torch.device(device or "cpu"):
            return cls(config)

    def forward(self, pictures: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The unit vectors (b, channels) of video and audio; see `embed_frames` and `embed_mel`."""
        return self.embed_frames(pictures), self.embed_mel(mel)

    def embed_frames(self, pictures: torch.Tensor) -> torch.Tensor:
        """The unit vectors (b, channels) of windows of frames.

        Args:
            pictures: (b, 3 * frames, h, w) in [-1, 1], as `lower_halves` gives them: 128 x 256 for the released model.

        Raises:
            ModelError: another shape.
        """
        expected = (self.config.visual.in_channels, *self.config.visual.size)
        if tuple(pictures.shape[1:]) != expected:
            raise ModelError(
                f"The SyncNet takes pictures of shape (b, {', '.join(map(str, expected))}), not "
                f"{tuple(pictures.shape)}; resize the faces to {' x '.join(map(str, self.config.face_size))}."
            )
        return F.normalize(self.visual_encoder(pictures))

    def embed_mel(self, mel: torch.Tensor) -> torch.Tensor:
        """The unit vectors (b, channels) of windows (b, 1, 80, columns) as `sync_mel.mel_windows` gives them.

        Raises:
            ModelError: another shape.
        """
        expected = (1, N_MELS, window_columns(self.config.frames))
        if tuple(mel.shape[1:]) != expected:
            raise ModelError(
                f"The SyncNet takes sound of shape (b, {', '.join(map(str, expected))}), not {tuple(mel.shape)}; "
                "cut it with mel_windows."
            )
        return F.normalize(self.audio_encoder(mel))


def load_syncnet(
    path: str | Path = CARRIED_SYNCNET, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SyncNet:
    """Loads a SyncNet that `save_syncnet` wrote (by default the carried one), or LatentSync's stable_syncnet.pt.

    Its weights are fixed.

    Raises ModelError for any other file.
    """
    path = Path(path)
    config = read_config(path)
    if config is not None:
        check_vae(config, read_tensors(path, REMEDY), str(path), REMEDY)
    net = build_or_raise(lambda: SyncNet.from_config(config or SyncNetConfig(), device="meta"), str(path), REMEDY)
    fill(
        net,
        lambda: read_tensors(path, REMEDY),
        f"{path} does not fit the SyncNet",
        torch.device(device),
        dtype,
        remedy=REMEDY,
    )
    return net


def save_syncnet(net: SyncNet, path: str | Path) -> Path:
    """Writes weights and config as one safetensors file; returns its path. Raises OutputError."""
    return save_network(net, net.config.to_dict(), path)


def lower_halves(frames: torch.Tensor) -> torch.Tensor:
    """SyncNet's pictures (b, 3 * f, h - h // 2, w), frame after frame, from whole faces (b, f, 3, h, w)."""
    return frames[..., frames.shape[-2] // 2 :, :].flatten(1, 2)


def sync_similarity(video_embeddings: torch.Tensor, audio_embeddings: torch.Tensor) -> torch.Tensor:
    """The cosine (b,) between two batches of unit vectors (b, channels): 0 or more, as no vector has a part below 0."""
    return F.cosine_similarity(video_embeddings, audio_embeddings, dim=1)


def sync_loss(video_embeddings: torch.Tensor, audio_embeddings: torch.Tensor, in_sync: torch.Tensor) -> torch.Tensor:
    """The scalar loss that teaches SyncNet, or by it: cross-entropy of the cosine itself taken as a probability.

    Args:
        video_embeddings, audio_embeddings: (b, channels) unit vectors.
        in_sync: (b,) 1 where they belong together, 0 where not; all 1 to train another network by a finished SyncNet.
    """
    # Rounding can bring a cosine just above 1.
    probability = sync_similarity(video_embeddings, audio_embeddings).clamp(0, 1)
    return F.binary_cross_entropy(probability, in_sync.to(probability))
