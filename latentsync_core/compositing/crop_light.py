"""Gives crops that a restorer worked on the colour and light of those that it was given.

Both show the same face, so whatever differs over more than a few hundredths of a crop is a cast, another contrast, or
flicker from frame to frame, and is taken back. Only then can Composite compare the crop with the filmed skin: a cast is
no gain of light, as it changes dark skin more than bright skin.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LIGHT_SIZE = 16  # cells of a crop's side: what is larger than two of them counts as light, not as detail


def with_light_of(crop: Tensor, given: Tensor, strength: float) -> Tensor:
    """`crop` (3, P, P) with the low frequencies of `given` (3, R, R), both RGB in [0, 1]; 0 to 1 is how far it goes."""
    low, wanted = (
        F.interpolate(
            picture[None].float(), (LIGHT_SIZE, LIGHT_SIZE), mode="bilinear", antialias=True, align_corners=False
        )
        for picture in (crop, given)
    )
    change = F.interpolate(wanted - low, crop.shape[-2:], mode="bicubic", align_corners=False)[0]
    return torch.add(crop, change, alpha=strength).clamp_(0, 1)
