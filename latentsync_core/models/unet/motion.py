"""Attention along time: the U-Net's motion modules (AnimateDiff, Guo et al. 2023, https://arxiv.org/abs/2307.04725)."""

from __future__ import annotations

import math

import torch
from torch import nn

from ...errors import ModelError
from .attention import NORM_EPS, AttentionLayers, FeedForward
from .config import MotionConfig
from .layers import LayerFactory

NORM_GROUPS = 32  # of the temporal transformer, whatever the rest of the network uses


class PositionalEncoding(nn.Module):
    """Adds to each frame's tokens (n, f, channels) the sinusoid of its place in the window; f may be up to `length`."""

    pe: torch.Tensor  # (1, length, channels)

    def __init__(self, channels: int, length: int):
        super().__init__()
        self.register_buffer("pe", sinusoids(length, channels)[None])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        frames, longest = tokens.shape[1], self.pe.shape[1]
        if frames > longest:
            raise ModelError(f"The window has {frames} frames, but this model's position table ends at {longest}.")
        return tokens + self.pe[:, :frames].to(tokens)


class TemporalAttention(AttentionLayers):
    """Attention among the frames of one pixel, each knowing its place in the window."""

    def __init__(self, layers: LayerFactory, channels: int, motion: MotionConfig):
        super().__init__(layers, channels, channels, motion.heads)
        self.pos_encoder = PositionalEncoding(channels, motion.positions) if motion.positions else nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        positioned = self.pos_encoder(tokens)
        return self.attend(positioned, positioned)


class TemporalBlock(nn.Module):
    """Several attentions along time, then the feed-forward layers, on tokens (n, f, channels)."""

    def __init__(self, layers: LayerFactory, channels: int, motion: MotionConfig):
        super().__init__()
        count = range(motion.attentions)
        self.attention_blocks = nn.ModuleList([TemporalAttention(layers, channels, motion) for _ in count])
        self.norms = nn.ModuleList([layers.layer_norm(channels) for _ in count])
        self.ff = FeedForward(layers, channels)
        self.ff_norm = layers.layer_norm(channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for norm, attention in zip(self.norms, self.attention_blocks, strict=True):
            tokens = tokens + attention(norm(tokens))
        return tokens + self.ff(self.ff_norm(tokens))


class TemporalTransformer(nn.Module):
    """Lets every pixel of x (b*f, channels, h, w), frames innermost, see itself in the window's other frames."""

    def __init__(self, layers: LayerFactory, channels: int, motion: MotionConfig):
        super().__init__()
        self.norm = layers.group_norm(NORM_GROUPS, channels, NORM_EPS)  # each frame by itself
        self.proj_in = layers.linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(layers, channels, motion) for _ in range(motion.blocks)])
        self.proj_out = layers.linear(channels, channels)

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        n, c, h, w = x.shape
        tokens = self.norm(x).view(n // frames, frames, c, h * w).permute(0, 3, 1, 2)  # (b f) c h w -> b (h w) f c
        tokens = self.proj_in(tokens.reshape(-1, frames, c))  # -> (b h w) f c
        for block in self.transformer_blocks:
            tokens = block(tokens)
        moved = self.proj_out(tokens).view(n // frames, h, w, frames, c)
        return x + moved.permute(0, 3, 4, 1, 2).reshape(n, c, h, w)  # b h w f c -> (b f) c h w


class MotionModule(nn.Module):
    """A temporal transformer under the name that checkpoints give it."""

    def __init__(self, layers: LayerFactory, channels: int, motion: MotionConfig):
        super().__init__()
        self.temporal_transformer = TemporalTransformer(layers, channels, motion)

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        return self.temporal_transformer(x, frames)


def sinusoids(length: int, channels: int) -> torch.Tensor:
    """(length, channels) float32 position table: sines in the even columns, cosines in the odd ones, their wavelengths
    rising from 2 pi to 20000 pi frames (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5)."""
    rates = torch.exp(torch.arange(0, channels, 2, device="cpu") * (-math.log(10000.0) / channels))
    angles = torch.arange(length, device="cpu")[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
