"""The U-Net's levels: residual convolutions with attention and motion after each, and the steps between sizes.

Inside, a batch of windows is (b*f, channels, h, w) with frames innermost and channels last in memory, so that
convolutions, per-frame attention and the statistics over a whole window all work on it without moving a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from .attention import AudioKeys, SpatialTransformer
from .config import MotionConfig, UNetConfig
from .layers import LayerFactory
from .motion import MotionModule


@dataclass(frozen=True)
class Conditioning:
    """The conditioning inputs of every block."""

    time: torch.Tensor  # (b, 4 * first channels), embedded and activated
    audio: torch.Tensor | Sequence[AudioKeys]  # (b*f, tokens, width), or what each cross-attention made of it
    frames: int  # f

    def attend(self, attention: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """What a SpatialTransformer makes of x (b*f, channels, h, w) and the audio."""
        if isinstance(self.audio, torch.Tensor):
            return attention(x, self.audio)
        return attention(x, self.audio[cast(SpatialTransformer, attention).index])


class ResnetBlock(nn.Module):
    """Two convolutions around the time embedding, added to their input."""

    def __init__(self, layers: LayerFactory, inputs: int, outputs: int, config: UNetConfig):
        super().__init__()
        self.norm1 = layers.group_norm(config.norm_groups, inputs, config.norm_eps)
        self.conv1 = layers.conv(inputs, outputs, kernel=3)
        self.time_emb_proj = layers.linear(4 * config.block_channels[0], outputs)
        self.norm2 = layers.group_norm(config.norm_groups, outputs, config.norm_eps)
        self.conv2 = layers.conv(outputs, outputs, kernel=3)
        self.conv_shortcut = layers.conv(inputs, outputs, kernel=1) if inputs != outputs else None

    def forward(self, x: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        frames = conditioning.frames
        time = self.time_emb_proj(conditioning.time).repeat_interleave(frames, dim=0)[:, :, None, None]
        inner = self.conv1(F.silu(norm_over_window(self.norm1, x, frames), inplace=True)) + time
        inner = self.conv2(F.silu(norm_over_window(self.norm2, inner, frames), inplace=True))
        return inner + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    """Halves height and width, rounding up."""

    def __init__(self, layers: LayerFactory, channels: int):
        super().__init__()
        self.conv = layers.conv(channels, channels, kernel=3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Brings a picture to the size of the skip that it is to meet, about twice its own."""

    def __init__(self, layers: LayerFactory, channels: int):
        super().__init__()
        self.conv = layers.conv(channels, channels, kernel=3)

    def forward(self, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Level(nn.Module):
    """Residual convolutions, each followed by attention and motion where the level has them."""

    def __init__(
        self,
        layers: LayerFactory,
        widths: list[tuple[int, int]],
        attention: bool,
        motion: MotionConfig | None,
        config: UNetConfig,
    ):
        super().__init__()
        channels = widths[-1][1]
        self.resnets = nn.ModuleList([ResnetBlock(layers, inputs, outputs, config) for inputs, outputs in widths])
        if attention:
            sizes = (channels, config.audio_width, config.heads, config.norm_groups)
            self.attentions = nn.ModuleList([SpatialTransformer(layers, *sizes) for _ in widths])
        if motion is not None:
            self.motion_modules = nn.ModuleList([MotionModule(layers, channels, motion) for _ in widths])
        self.has_attention, self.has_motion = attention, motion is not None

    def step(
        self, index: int, x: torch.Tensor, conditioning: Conditioning, skips: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """The `index`-th residual convolution and what follows it; of `skips` the latest joins its input."""
        if skips is not None:
            # Joined here, so that attention and motion find its memory free: an argument is held by the caller until
            # this returns, in a process that has used torch.compile.
            x = torch.cat([x, skips.pop()], dim=1)
        x = self.resnets[index](x, conditioning)
        if self.has_attention:
            x = conditioning.attend(self.attentions[index], x)
        if self.has_motion:
            x = self.motion_modules[index](x, conditioning.frames)
        return x


class DownBlock(Level):
    """A level on the way down; gives every picture that the way up will want again, the last one going on down."""

    def __init__(self, layers: LayerFactory, inputs: int, level: int, config: UNetConfig):
        outputs = config.block_channels[level]
        widths = [(inputs, outputs)] + [(outputs, outputs)] * (config.resnets_per_block - 1)
        motion = config.motion if config.motion_in_down_blocks and config.motion_levels[level] else None
        super().__init__(layers, widths, config.down_attention[level], motion, config)
        last = level == len(config.block_channels) - 1
        self.downsamplers = None if last else nn.ModuleList([Downsample(layers, outputs)])

    def forward(self, x: torch.Tensor, conditioning: Conditioning) -> list[torch.Tensor]:
        skips = []
        for index in range(len(self.resnets)):
            x = self.step(index, x, conditioning)
            skips.append(x)
        if self.downsamplers is not None:
            skips.append(self.downsamplers[0](x))
        return skips


class MidBlock(nn.Module):
    """The smallest pictures: convolution, attention, convolution; no motion."""

    def __init__(self, layers: LayerFactory, config: UNetConfig):
        super().__init__()
        channels = config.block_channels[-1]
        sizes = (channels, config.audio_width, config.heads, config.norm_groups)
        self.attentions = nn.ModuleList([SpatialTransformer(layers, *sizes)])
        self.resnets = nn.ModuleList([ResnetBlock(layers, channels, channels, config) for _ in range(2)])

    def forward(self, x: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        x = self.resnets[0](x, conditioning)
        x = conditioning.attend(self.attentions[0], x)
        return self.resnets[1](x, conditioning)


class UpBlock(Level):
    """A level on the way up; each step takes the latest skip off the list, so that its memory is free again."""

    def __init__(self, layers: LayerFactory, inputs: int, skips: list[int], step: int, config: UNetConfig):
        outputs = config.block_channels[-1 - step]
        below = [inputs] + [outputs] * (len(skips) - 1)
        widths = [(width + skip, outputs) for width, skip in zip(below, skips, strict=True)]
        motion = config.motion if config.motion_levels[-1 - step] else None
        super().__init__(layers, widths, config.up_attention[step], motion, config)
        last = step == len(config.block_channels) - 1
        self.upsamplers = None if last else nn.ModuleList([Upsample(layers, outputs)])

    def forward(
        self, x: torch.Tensor, skips: list[torch.Tensor], conditioning: Conditioning, steps: slice = slice(None)
    ) -> torch.Tensor:
        """`steps` are those to be taken; the step to the next size follows the last one."""
        taken = range(len(self.resnets))[steps]
        for index in taken:
            x = self.step(index, x, conditioning, skips)
        if self.upsamplers is None or taken.stop < len(self.resnets):
            return x
        return self.upsamplers[0](x, skips[-1].shape[2:])


def norm_over_window(norm: nn.Module, x: torch.Tensor, frames: int) -> torch.Tensor:
    """Group norm of x (b*f, c, h, w) with one mean and variance for all frames of a window, as the reference has it.

    With channels last in memory the frames of a window already lie below each other, like one tall picture.
    """
    n, c, h, w = x.shape
    tall = x.permute(0, 2, 3, 1).reshape(n // frames, frames * h, w, c).permute(0, 3, 1, 2)  # -> b c (f h) w
    return norm(tall).permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)  # -> (b f) c h w
