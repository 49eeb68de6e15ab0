"""Two clips of sixteen frames out of one public-domain portrait, for goldens that need faces."""

from __future__ import annotations

import torch

from tests.astronaut import picture

SIDE = 256  # pixels, of the part of the portrait that a frame shows


def moving_portraits(size: int = SIDE, frames: int = 16) -> torch.Tensor:
    """(2, frames, 3, size, size) in [-1, 1]: under a camera that pans, and still but in a dimming light.

    Nothing is interpolated, so the values are the same everywhere; `size` divides 256.
    """
    face = picture().permute(2, 0, 1) * 2 - 1  # H W 3 -> 3 H W
    step = SIDE // size
    corners = [(t, 96 + 2 * t) for t in range(frames)]  # y, x
    panned = torch.stack([face[:, y : y + SIDE : step, x : x + SIDE : step] for y, x in corners])
    dimming = panned[:1] * torch.linspace(1, 0.4, frames)[:, None, None, None]
    return torch.stack([panned, dimming])
