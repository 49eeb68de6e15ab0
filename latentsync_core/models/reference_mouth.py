"""What a model sees of the mouth in its reference frames: the filmed one, or another in its place.

The reference frames show a model which person to draw, but their mouths move to the old voice. Where a model was
trained on averaged or closed mouths, the reference's latents around lips and chin are their mean over neighbouring
frames, or those of a frame nearby whose mouth is closed: they hold skin and lips and no motion that could be copied.
"""

from __future__ import annotations

import functools
from enum import Enum

import torch
from torch import Tensor

AVERAGED_FRAMES = 75  # about how many frames are averaged: three seconds
CENTER, RADII = (0.7625, 0.5), (0.206, 0.217)  # row, column, as fractions of the crop: where lips and chin are
SOFT_EDGE = 0.5  # width of the edge, as a fraction of the radii


class ReferenceMouth(str, Enum):
    """What the reference frames show where the mouth is."""

    FILMED = "filmed"  # the frame's own mouth; LatentSync's releases
    AVERAGED = "averaged"  # its mean over about AVERAGED_FRAMES frames
    CLOSED = "closed"  # that of a frame nearby whose mouth is closed; see sampling/closed_references.py


def replace_mouth(reference: Tensor, other: Tensor) -> Tensor:
    """Reference latents (f, 4, h, w) with those around lips and chin taken from `other`, softly.

    `other` is (4, h, w), for all frames, or (f, 4, h, w).
    """
    weight = _replaced_weight(*reference.shape[-2:]).to(reference)
    return torch.lerp(reference, other.expand_as(reference), weight.expand_as(reference))


@functools.cache
def _replaced_weight(height: int, width: int) -> Tensor:
    """(h, w) float32: 1 inside an ellipse around lips and chin, 0 outside."""
    rows, columns = (
        ((torch.arange(count) + 0.5) / count - center) / radius
        for count, center, radius in zip((height, width), CENTER, RADII, strict=True)
    )
    distance = (rows[:, None].square() + columns[None, :].square()).sqrt()
    return (0.5 + (1 - distance) / SOFT_EDGE).clamp(0, 1)
