"""The low-frequency error of drawn crops beside lips and jaw: blotches and blocks as a number.

An error is averaged over 8x8 pixels of a 128-pixel crop, one latent, and over cheeks and neck alone: within the mask,
but away from what speech moves. There a drawing has to show what the frame itself shows.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.faces.alignment.mouth_mask import mouth_mask

from ..synthetic.crops import RESOLUTION

PATCH = 8  # pixels a side of a 128-pixel crop
# The ellipse of lips and jaw in an aligned 128-pixel crop: row and column of its centre, its half axes.
JAW_CENTRE, JAW_AXES = (92.0, 64.0), (34.0, 40.0)
MIN_COVERAGE = 0.75  # of a patch that lies in the region


@functools.cache
def cheeks_and_neck() -> Tensor:
    """(128, 128) bool: pixels within the mask that lie outside lips and jaw."""
    rows, columns = torch.meshgrid(*[torch.arange(RESOLUTION) + 0.5] * 2, indexing="ij")
    away = ((rows - JAW_CENTRE[0]) / JAW_AXES[0]) ** 2 + ((columns - JAW_CENTRE[1]) / JAW_AXES[1]) ** 2
    return (mouth_mask(RESOLUTION).view(RESOLUTION, RESOLUTION) == 0) & (away > 1)


def low_frequency_error(seen: Tensor, true: Tensor) -> Tensor:
    """(n, 3, p) differences in levels (of 255) of cheeks' and neck's patches, of crops (n, 3, 128, 128) in [0, 1]."""
    region = cheeks_and_neck().to(seen)
    coverage = F.avg_pool2d(region[None, None], PATCH)
    means = F.avg_pool2d((seen - true) * region, PATCH) / coverage.clamp(min=1e-6)
    return 255 * means[..., (coverage >= MIN_COVERAGE)[0, 0]]
