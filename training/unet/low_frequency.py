"""The low-frequency error of drawn crops beside lips and jaw: blotches and blocks as a number.

An error is averaged over 8x8 pixels of a 128-pixel crop, one latent, and over cheeks and neck alone: within the mask,
but away from what speech moves. There a drawing has to show what the frame itself shows.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.faces.alignment.mouth_mask import latent_mask, mouth_mask

from ..synthetic.crops import RESOLUTION

PATCH = 8  # pixels a side of a 128-pixel crop
# The ellipse of lips and jaw in an aligned 128-pixel crop: row and column of its centre, its half axes.
JAW_CENTRE, JAW_AXES = (92.0, 64.0), (34.0, 40.0)
SOFT_EDGE = 0.1  # width of the ellipse's edge where something is blended, as a fraction of the half axes
MIN_COVERAGE = 0.75  # of a patch that lies in the region


@functools.cache
def cheeks_and_neck() -> Tensor:
    """(128, 128) bool: pixels within the mask that lie outside lips and jaw."""
    return (mouth_mask(RESOLUTION).view(RESOLUTION, RESOLUTION) == 0) & (_distance_from_jaw(RESOLUTION) > 1)


@functools.cache
def drawn_weight(size: int) -> Tensor:
    """(size, size) float32 of an aligned crop or its latents: 1 where a mouth is drawn, 0 where frames are kept and, in
    the mask beside lips and jaw, where speech moves nothing."""
    inside = ((1 + SOFT_EDGE - _distance_from_jaw(size)) / SOFT_EDGE).clamp(0, 1)
    keep = mouth_mask(size) if size == RESOLUTION else latent_mask(RESOLUTION)
    return inside * (1 - keep.view(size, size))


def low_frequency_error(seen: Tensor, true: Tensor) -> Tensor:
    """(n, 3, p) differences in levels (of 255) of cheeks' and neck's patches, of crops (n, 3, 128, 128) in [0, 1]."""
    region = cheeks_and_neck().to(seen)
    coverage = F.avg_pool2d(region[None, None], PATCH)
    means = F.avg_pool2d((seen - true) * region, PATCH) / coverage.clamp(min=1e-6)
    return 255 * means[..., (coverage >= MIN_COVERAGE)[0, 0]]


def _distance_from_jaw(size: int) -> Tensor:
    """(size, size) distances from the ellipse's centre, in half axes."""
    places = (torch.arange(size) + 0.5) * RESOLUTION / size
    rows, columns = ((places - center) / axis for center, axis in zip(JAW_CENTRE, JAW_AXES, strict=True))
    return (rows[:, None].square() + columns[None, :].square()).sqrt()
