"""Attention over a frame's pixels and over the audio's tokens: the U-Net's spatial transformer.

Its layout is that of Stable Diffusion 1.x (Rombach et al. 2022, https://arxiv.org/abs/2112.10752, section 3.3).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from .layers import LayerFactory

NORM_EPS = 1e-6  # of the group norm before a transformer's projection


class AudioKeys(NamedTuple):
    """What one cross-attention makes of the audio of n pictures; it is the same at every diffusion step."""

    keys: torch.Tensor  # (n, heads, tokens, channels / heads)
    values: torch.Tensor  # likewise
    without_audio: torch.Tensor  # (1, channels): a picture without audio is given this in place of attention's result


class AttentionLayers(nn.Module):
    """The layers of multi-head attention, under the names that checkpoints give them."""

    def __init__(self, layers: LayerFactory, channels: int, context_channels: int, heads: int):
        super().__init__()
        self.channels = channels
        self.heads = heads
        self.to_q = layers.linear(channels, channels, bias=False)
        self.to_k = layers.linear(context_channels, channels, bias=False)
        self.to_v = layers.linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([layers.linear(channels, channels)])

    def attend(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """From tokens (n, q, channels) to tokens (n, k, context_channels): (n, q, channels)."""
        return self.attend_keys(tokens, *self.keys_and_values(context))

    def keys_and_values(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of tokens (n, k, context_channels), (n, heads, k, channels / heads) each."""
        return self._split(self.to_k(context)), self._split(self.to_v(context))

    def attend_keys(self, tokens: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`attend` to what `keys_and_values` gave."""
        mixed = F.scaled_dot_product_attention(self._split(self.to_q(tokens)), keys, values)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))  # n heads q d -> n q channels

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # n t channels -> n heads t d


class Attention(AttentionLayers):
    """Multi-head attention from tokens (n, q, channels) to tokens (n, k, context_channels)."""

    def forward(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.attend(tokens, context)

    def audio_keys(self, audio: torch.Tensor) -> AudioKeys:
        """For audio (n, tokens, width).

        Guidance's unconditional half is given zeros. Neither keys nor values have a bias, so all that attention mixes
        is zero, and the output layer gives the same for every picture.
        """
        nothing = audio.new_zeros(1, self.channels)
        return AudioKeys(*self.keys_and_values(audio), self.to_out[0](nothing))


class GEGLU(nn.Module):
    """GEGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202): half of the projection gates the other half."""

    def __init__(self, layers: LayerFactory, channels: int, inner: int):
        super().__init__()
        self.proj = layers.linear(channels, 2 * inner)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(tokens).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Two layers on each token by itself, four times as wide inside."""

    def __init__(self, layers: LayerFactory, channels: int):
        super().__init__()
        # The middle entry is where training has its dropout; it keeps the place of the last layer's key.
        inner = 4 * channels
        self.net = nn.ModuleList([GEGLU(layers, channels, inner), nn.Identity(), layers.linear(inner, channels)])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for layer in self.net:
            tokens = layer(tokens)
        return tokens


class TransformerBlock(nn.Module):
    """Attention among a frame's pixels, then from pixels to audio tokens, then the feed-forward layers."""

    def __init__(self, layers: LayerFactory, channels: int, context_channels: int, heads: int):
        super().__init__()
        self.norm1 = layers.layer_norm(channels)
        self.attn1 = Attention(layers, channels, channels, heads)
        self.norm2 = layers.layer_norm(channels)
        self.attn2 = Attention(layers, channels, context_channels, heads)
        self.norm3 = layers.layer_norm(channels)
        self.ff = FeedForward(layers, channels)

    def forward(self, tokens: torch.Tensor, audio: torch.Tensor | AudioKeys) -> torch.Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attn1(normed, normed)
        if isinstance(audio, AudioKeys):
            tokens = self._with_audio(tokens, audio)
        else:
            tokens = tokens + self.attn2(self.norm2(tokens), audio)
        return tokens + self.ff(self.norm3(tokens))

    def _with_audio(self, tokens: torch.Tensor, audio: AudioKeys) -> torch.Tensor:
        """`audio` is that of the last pictures; those before them have none."""
        if not len(audio.keys):
            return tokens + audio.without_audio
        silent, driven = tokens[: len(tokens) - len(audio.keys)], tokens[len(tokens) - len(audio.keys) :]
        driven = driven + self.attn2.attend_keys(self.norm2(driven), audio.keys, audio.values)
        return torch.cat([silent + audio.without_audio, driven]) if len(silent) else driven


class SpatialTransformer(nn.Module):
    """Lets every pixel (n, channels, h, w) see its own frame and that frame's audio tokens (n, tokens, width).

    In their place it takes what `audio_keys` made of the tokens of the last pictures; those before them have no audio.
    """

    index: int  # its place among the network's, in the order of their use

    def __init__(self, layers: LayerFactory, channels: int, context_channels: int, heads: int, norm_groups: int):
        super().__init__()
        self.norm = layers.group_norm(norm_groups, channels, NORM_EPS)
        self.proj_in = layers.conv(channels, channels, kernel=1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(layers, channels, context_channels, heads)])
        self.proj_out = layers.conv(channels, channels, kernel=1)

    def audio_keys(self, audio: torch.Tensor) -> AudioKeys:
        """See Attention.audio_keys."""
        (block,) = self.transformer_blocks
        return cast(TransformerBlock, block).attn2.audio_keys(audio)

    def forward(self, x: torch.Tensor, audio: torch.Tensor | AudioKeys) -> torch.Tensor:
        tokens = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).flatten(1, 2)  # n c h w -> n (h w) c
        for block in self.transformer_blocks:
            tokens = block(tokens, audio)
        return x + self.proj_out(tokens.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2))  # n (h w) c -> n c h w
