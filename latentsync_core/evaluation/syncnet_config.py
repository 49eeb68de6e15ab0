"""A SyncNet's config, parsed from the dict of LatentSync's own files; unsupported values are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .sync_mel import WINDOW_FRAMES

NORM_GROUPS = 32  # of every group norm, as upstream's
ENCODER_KEYS = ("in_channels", "block_out_channels", "downsample_factors", "attn_blocks", "dropout")


@dataclass(frozen=True)
class EncoderConfig:
    """One of the two stacks. Every level has a residual block, which may shrink the picture, and maybe attention."""

    in_channels: int
    block_channels: tuple[int, ...]
    factors: tuple[tuple[int, int], ...]  # by which each level shrinks height and width
    attention: tuple[bool, ...]
    dropout: float = 0.0  # in training, share of values

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input that shrinks to 1 x 1 without a rest."""
        return math.prod(height for height, _ in self.factors), math.prod(width for _, width in self.factors)


@dataclass(frozen=True)
class SyncNetConfig:
    """SyncNet's sizes; the defaults are those of the released checkpoint, which looks at faces of 256 x 256."""

    audio: EncoderConfig = EncoderConfig(
        in_channels=1,
        block_channels=(32, 64, 128, 256, 512, 1024, 2048),
        factors=((2, 1), (2, 2), (2, 2), (1, 1), (2, 2), (2, 2), (2, 3)),
        attention=(False, False, False, True, True, False, False),
    )
    visual: EncoderConfig = EncoderConfig(
        in_channels=3 * WINDOW_FRAMES,
        block_channels=(64, 128, 256, 256, 512, 1024, 2048, 2048),
        factors=((1, 2), *((2, 2),) * 7),
        attention=(False, False, False, False, True, True, False, False),
    )

    @property
    def frames(self) -> int:
        """How many video frames it looks at together."""
        return self.visual.in_channels // 3

    @property
    def face_size(self) -> tuple[int, int]:
        """Height and width in pixels of the whole faces whose lower halves it looks at."""
        height, width = self.visual.size
        return 2 * height, width

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> SyncNetConfig:
        """Reads the `model` section of an upstream SyncNet config.

        Raises ModelError naming a key that is missing or unknown, or sizes that can't work together.
        """
        if set(config) != {"audio_encoder", "visual_encoder"}:
            raise ModelError(
                f"The SyncNet's config holds {', '.join(map(repr, config)) or 'nothing'}, not 'audio_encoder' and "
                "'visual_encoder'; take the model section of LatentSync's config."
            )
        result = cls(*(_encoder_config(config[part], part) for part in ("audio_encoder", "visual_encoder")))
        result._check()
        return result

    def to_dict(self) -> dict[str, Any]:
        """The same config as `from_dict` reads it."""
        return {
            part: {
                "in_channels": encoder.in_channels,
                "block_out_channels": list(encoder.block_channels),
                "downsample_factors": [1 if factor == (1, 1) else list(factor) for factor in encoder.factors],
                "attn_blocks": [int(on) for on in encoder.attention],
                "dropout": encoder.dropout,
            }
            for part, encoder in (("audio_encoder", self.audio), ("visual_encoder", self.visual))
        }

    def _check(self) -> None:
        for name, encoder in (("audio_encoder", self.audio), ("visual_encoder", self.visual)):
            if not len(encoder.block_channels) == len(encoder.factors) == len(encoder.attention):
                raise ModelError(f"The SyncNet's {name} has lists of different lengths; give one entry per block.")
            for channels in encoder.block_channels:
                if channels < 1 or channels % NORM_GROUPS:
                    raise ModelError(f"The SyncNet's {name} has {channels} channels; give a multiple of {NORM_GROUPS}.")
            if encoder.block_channels[-1] == NORM_GROUPS:  # a lone value per group is normed to nothing
                raise ModelError(f"The SyncNet's {name} ends with {NORM_GROUPS} channels; give at least twice as many.")
        if self.audio.in_channels != 1 or self.visual.in_channels % 3 or self.visual.in_channels < 3:
            raise ModelError(
                f"The SyncNet's config has {self.audio.in_channels} audio and {self.visual.in_channels} visual "
                "channels; give 1, and 3 for every video frame."
            )
        if self.audio.block_channels[-1] != self.visual.block_channels[-1]:
            raise ModelError(
                f"The SyncNet's vectors have {self.audio.block_channels[-1]} and {self.visual.block_channels[-1]} "
                "values; end both lists of block_out_channels alike."
            )


def _encoder_config(config: Mapping[str, Any], part: str) -> EncoderConfig:
    for key in ENCODER_KEYS:
        if key not in config:
            raise ModelError(f"The SyncNet's config lacks {part}.{key}; take the model section of LatentSync's config.")
    for key in config:
        if key not in ENCODER_KEYS:
            raise ModelError(f"The SyncNet's config has an unknown key, {part}.{key}; remove it.")
    factors = config["downsample_factors"]
    return EncoderConfig(
        in_channels=config["in_channels"],
        block_channels=tuple(config["block_out_channels"]),
        factors=tuple((factor, factor) if isinstance(factor, int) else tuple(factor) for factor in factors),
        attention=tuple(bool(on) for on in config["attn_blocks"]),
        dropout=config["dropout"],
    )
