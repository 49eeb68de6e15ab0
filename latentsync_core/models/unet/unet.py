"""The U-Net that denoises a window of face latents, conditioned on Whisper features.

The network is LatentSync's (Li et al. 2024, https://arxiv.org/abs/2412.09262): Stable Diffusion 1.5's U-Net with 13
input channels, cross-attention to Whisper's features instead of text, and AnimateDiff's motion modules. The names of
its state-dict entries are those of the released checkpoints of 1.5 and 1.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...errors import ModelError
from .attention import AudioKeys, SpatialTransformer
from .blocks import Conditioning, DownBlock, MidBlock, UpBlock, norm_over_window
from .config import MAX_AUDIO_ROWS, UNetConfig
from .layers import LayerFactory

MAX_PERIOD = 10000  # of the slowest time sinusoid, in steps over 2 pi


class TimeEmbedding(nn.Module):
    """Two layers from a step's sinusoids (b, channels) to the embedding (b, 4 * channels)."""

    def __init__(self, layers: LayerFactory, channels: int):
        super().__init__()
        self.linear_1 = layers.linear(channels, 4 * channels)
        self.linear_2 = layers.linear(4 * channels, 4 * channels)

    def forward(self, sinusoids: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


class UNet(nn.Module):
    """Predicts the noise in a window of latents. Build it with `from_config`; inputs decide the computing dtype."""

    def __init__(self, config: UNetConfig, layers: LayerFactory):
        super().__init__()
        self.config = config
        channels = config.block_channels
        self.conv_in = layers.conv(config.in_channels, channels[0], kernel=3)
        self.time_embedding = TimeEmbedding(layers, channels[0])

        self.down_blocks = nn.ModuleList()
        skips, width = [channels[0]], channels[0]
        for level, outputs in enumerate(channels):
            block = DownBlock(layers, width, level, config)
            self.down_blocks.append(block)
            skips += [outputs] * (config.resnets_per_block + (block.downsamplers is not None))
            width = outputs
        self.mid_block = MidBlock(layers, config)
        self.up_blocks = nn.ModuleList()
        for step, outputs in enumerate(reversed(channels)):
            taken = [skips.pop() for _ in range(config.resnets_per_block + 1)]
            self.up_blocks.append(UpBlock(layers, width, taken, step, config))
            width = outputs

        self.conv_norm_out = layers.group_norm(config.norm_groups, channels[0], config.norm_eps)
        self.conv_out = layers.conv(channels[0], config.out_channels, kernel=3)
        for index, attention in enumerate(self._attentions()):
            attention.index = index

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any] | UNetConfig,
        operations: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> UNet:
        """Builds the network of an upstream config's `model` section.

        `operations` brings the layer classes (see `LayerFactory`); None means torch.nn. With device "meta" no weight
        takes memory until one is assigned; the position tables are real on every device. Raises ModelError for a config
        that can't be followed.
        """
        if not isinstance(config, UNetConfig):
            config = UNetConfig.from_dict(config)
        return cls(config, LayerFactory(operations or nn, dtype, device))

    def audio_keys(self, audio: torch.Tensor) -> tuple[AudioKeys, ...]:
        """What the cross-attentions make of audio (n, tokens, width), for `forward` at any number of steps.

        Raises ModelError for another width than the network's.
        """
        if audio.ndim != 3 or audio.shape[2] != self.config.audio_width:
            raise self._audio_error("n", audio)
        audio = self._middle_rows(audio)
        return tuple(attention.audio_keys(audio) for attention in self._attentions())

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | Sequence[AudioKeys],
    ) -> torch.Tensor:
        """The predicted noise (b, 4, f, h, w) in `sample` (b, 13, f, h, w), in the sample's dtype.

        `timestep` is one number for all or (b,) numbers, 0 to 999. `encoder_hidden_states` holds each frame's audio
        tokens, (b*f, tokens, width) with frames innermost or (b, f, tokens, width); or it is what `audio_keys` made of
        those of the last windows, and the windows before these have no audio, as if their tokens were zeros. Only the
        middle `config.audio_rows` of a frame's ten rows of tokens are attended to. Any h and w will do; f is at most
        what the position tables cover, 24. Raises ModelError for shapes that don't fit.
        """
        return self.predict(sample, timestep, encoder_hidden_states)[0]

    def predict(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | Sequence[AudioKeys],
        deep: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `forward` gives, and the deep features (b*f, channels, h, w) that it is made of: those before the last
        step of the last level. What follows them, with the first convolution, is 7 % of the work.

        With `deep`, the features of an earlier call, only that is computed. Features change little from one
        diffusion step to the next (DeepCache, Ma et al. 2023, https://arxiv.org/abs/2312.00858; branch 0 there).
        """
        audio = encoder_hidden_states
        if isinstance(audio, torch.Tensor):
            audio = audio.flatten(0, 1) if audio.ndim == 4 else audio
        self._check_shapes(sample, audio)
        batch, _, frames, height, width = sample.shape
        steps = timestep_embedding(timestep, self.config.block_channels[0], sample)
        if len(steps) not in (1, batch):
            raise ModelError(f"The U-Net got {len(steps)} timesteps for {batch} windows; give one, or one for each.")
        time = self.time_embedding(steps.expand(batch, -1))
        audio = self._middle_rows(audio.to(sample)) if isinstance(audio, torch.Tensor) else audio
        conditioning = Conditioning(F.silu(time), audio, frames)

        x = sample.permute(0, 2, 3, 4, 1).reshape(-1, height, width, sample.shape[1])  # b c f h w -> (b f) h w c
        x = self.conv_in(x.permute(0, 3, 1, 2))  # -> (b f) c h w
        skips = [x]
        if deep is None:
            deep = self._deep_features(skips, conditioning)
        x = self.up_blocks[-1](deep, skips, conditioning, slice(-1, None))
        x = self.conv_out(F.silu(norm_over_window(self.conv_norm_out, x, frames), inplace=True))
        return x.unflatten(0, (batch, frames)).transpose(1, 2), deep  # (b f) c h w -> b c f h w

    def _deep_features(self, skips: list[torch.Tensor], conditioning: Conditioning) -> torch.Tensor:
        """All but the last step of the last level, from the picture in `skips`, which alone stays there."""
        for block in self.down_blocks:
            skips += block(skips[-1], conditioning)
        x = self.mid_block(skips[-1], conditioning)
        for block in self.up_blocks[:-1]:
            x = block(x, skips, conditioning)
        return self.up_blocks[-1](x, skips, conditioning, slice(-1))

    def _middle_rows(self, audio: torch.Tensor) -> torch.Tensor:
        """The tokens of `config.audio_rows` rows of audio (n, tokens, width), whose tokens are those of ten, in order.

        Cross-attention takes rows as a set, without their order. A model whose Whisper is tuned to put into each row
        the mouth's shape at its time needs no others.
        """
        if self.config.audio_rows == MAX_AUDIO_ROWS:
            return audio
        levels, rest = divmod(audio.shape[1], MAX_AUDIO_ROWS)
        if rest:
            raise ModelError(
                f"The U-Net got {audio.shape[1]} audio tokens a frame, not those of {MAX_AUDIO_ROWS} rows of features."
            )
        first = (MAX_AUDIO_ROWS - self.config.audio_rows) // 2
        return audio[:, first * levels : (first + self.config.audio_rows) * levels]

    def _attentions(self) -> Iterator[SpatialTransformer]:
        """The transformers that see the audio, in the order of their use."""
        for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
            yield from getattr(block, "attentions", ())

    def _check_shapes(self, sample: torch.Tensor, audio: torch.Tensor | Sequence[AudioKeys]) -> None:
        config = self.config
        if sample.ndim != 5 or sample.shape[1] != config.in_channels:
            raise ModelError(
                f"The U-Net takes samples of shape (b, {config.in_channels}, f, h, w), not {tuple(sample.shape)}."
            )
        pictures = sample.shape[0] * sample.shape[2]
        if not isinstance(audio, torch.Tensor):
            with_audio = len(audio[0].keys)
            if with_audio > pictures or with_audio % sample.shape[2]:
                raise ModelError(
                    f"The U-Net got the audio of {with_audio} pictures for windows of {sample.shape[2]} frames."
                )
        elif audio.ndim != 3 or audio.shape[0] != pictures or audio.shape[2] != config.audio_width:
            raise self._audio_error(pictures, audio)

    def _audio_error(self, pictures: int | str, audio: torch.Tensor) -> ModelError:
        return ModelError(
            f"The U-Net takes audio of shape ({pictures}, tokens, {self.config.audio_width}) for this sample, "
            f"not {tuple(audio.shape)}; use the Whisper model that it was trained with."
        )


def timestep_embedding(timestep: torch.Tensor | float, channels: int, like: torch.Tensor) -> torch.Tensor:
    """(1 or b, channels) cosines, then sines, of the diffusion steps, computed in float32 and given as `like` is."""
    steps = torch.as_tensor(timestep, dtype=torch.float32, device=like.device).reshape(-1, 1)
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-math.log(MAX_PERIOD) / half))
    return torch.cat([(steps * rates).cos(), (steps * rates).sin()], dim=1).to(like.dtype)
