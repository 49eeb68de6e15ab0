"""Temporal and spatial degradations of the lower face, of adjustable strength.

Clips are (n, 3, 128, 128) in [0, 1]; what changes lies within the region that the U-Net draws.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.faces.alignment.mouth_mask import mouth_mask

from ..synthetic.crops import RESOLUTION


def shuffle_mouths(clip: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """A share of the frames change mouths among each other."""
    chosen = rng.permutation(len(clip))[: round(share * len(clip))]
    source = np.arange(len(clip))
    source[np.sort(chosen)] = chosen
    return _replace_mouths(clip, source)


def jitter_mouths(clip: Tensor, frames: float, rng: np.random.Generator) -> Tensor:
    """Every frame has the mouth of one nearby: off by so many frames, a deviation."""
    off = np.arange(len(clip)) + rng.normal(0, 1, len(clip)) * frames
    return _replace_mouths(clip, off.round().astype(int).clip(0, len(clip) - 1))


def delay_mouths(clip: Tensor, frames: float, rng: np.random.Generator) -> Tensor:
    """All mouths come so many frames late."""
    return _replace_mouths(clip, (np.arange(len(clip)) - round(frames)).clip(0))


def add_flicker(clip: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """The lower face is lighter or darker from frame to frame, a deviation of this share."""
    gains = torch.from_numpy((1 + share * rng.normal(0, 1, (len(clip), 1, 1, 1))).astype(np.float32))
    return _blend_in_mask(clip, (clip * gains).clamp(0, 1))


def blur_lower_face(clip: Tensor, pixels: float, rng: np.random.Generator) -> Tensor:
    """The lower face is blurred, alike in all frames; deviation in pixels."""
    place = torch.arange(-12, 13, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place / pixels) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    soft = F.conv2d(F.pad(clip, (12, 12, 0, 0), mode="replicate"), kernel, groups=3)
    soft = F.conv2d(F.pad(soft, (0, 0, 12, 12), mode="replicate"), kernel.transpose(2, 3), groups=3)
    return _blend_in_mask(clip, soft)


def _replace_mouths(clip: Tensor, source: np.ndarray) -> Tensor:
    """The clip with the mouths of other frames of it, (n,) numbers."""
    return _blend_in_mask(clip, clip[torch.from_numpy(source)])


def _blend_in_mask(clip: Tensor, other: Tensor) -> Tensor:
    keep = mouth_mask(RESOLUTION)
    return clip * keep + other * (1 - keep)
