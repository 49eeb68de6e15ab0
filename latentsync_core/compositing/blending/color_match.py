"""Matches a patch's colour and light to the filmed skin: a low-frequency gain in linear light, steady in time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment.align import TEMPLATE_SIZE
from .contour import CROP_COLUMNS, CROP_ROWS, LIPS, FaceViews, on_view, region_mask, usual_contour

GAMMA = 2.2  # of display values: a gain g in linear light is g ** (1 / GAMMA) in them
BLOCK = 4  # view pixels a side, over which light is averaged before it is compared
DARKEST, BRIGHTEST = 0.03, 0.97  # display values between which a colour counts: neither clipped nor a shadow
MAX_GAIN = 0.4  # natural logarithm of the gain in linear light, either way
MIN_BLOCKS = 24.0  # sum of weights, below which a frame counts for nothing
OUTLIER = 0.1  # logarithm of a gain; blocks that differ by more from the rest show something else
SLOPE_RIDGE = 0.1  # of the gain's slopes across the crop, relative to the blocks' weight
ROUNDS = 6  # of the robust fit
MIN_AGREEMENT = 0.25  # share of the weight that agrees, below which a frame counts for nothing
LIP_MARGIN = 5.0  # template units around the usual lips that move, and count for nothing
# the lower face of an average mesh, less some units: what lies beyond may be hair, neck or background
# fmt: off
FACE_POLYGON = (
    (12.0, 40.0), (11.5, 52.0), (12.5, 62.0), (15.5, 70.0), (19.5, 75.5), (26.0, 79.5), (37.5, 82.0), (49.0, 79.5),
    (55.5, 75.5), (59.5, 70.0), (62.5, 62.0), (63.5, 52.0), (63.0, 40.0),
)
# fmt: on
DECAY = 24.0  # frames: what is so far away counts for 1 / e


def light_gain(views: FaceViews, kept: Tensor) -> np.ndarray | None:
    """(3, 3) float64: per channel a logarithm of the gain in linear light at the crop's middle, and its slopes.

    The generated and the filmed picture are compared where both show the same skin: in the part that the network
    generates, but not at the lips and not beyond the face. None where too little of it shows.

    Args:
        kept: (1, 144, 108), see `face_views`.
    """
    filmed, generated = (view[:, CROP_ROWS, CROP_COLUMNS] for view in (views.filmed, views.generated))
    shown = ((generated > DARKEST) & (generated < BRIGHTEST) & (filmed > DARKEST) & (filmed < BRIGHTEST)).all(0)
    weight = _skin() * (kept[0] > 0.999) * shown
    light = [F.avg_pool2d((picture.clamp(min=0) ** GAMMA * weight)[None], BLOCK)[0] for picture in (filmed, generated)]
    share = F.avg_pool2d(weight[None, None], BLOCK)[0, 0].numpy().astype(np.float64)
    used = share > 0.5
    if share[used].sum() < MIN_BLOCKS:
        return None
    ratio = torch.log(light[0] / light[1].clamp(min=1e-9)).numpy().astype(np.float64)[:, used]  # (3, n)
    rows, columns = np.nonzero(used)
    across, down = (2 * (columns + 0.5) / used.shape[1] - 1, 2 * (rows + 0.5) / used.shape[0] - 1)
    terms = np.stack([np.ones_like(across), across, down])  # (3, n)
    own = weights = share[used]
    ridge = np.diag([0.0, SLOPE_RIDGE, SLOPE_RIDGE]) * weights.sum()
    result = np.zeros((3, 3))
    result[:, 0] = np.median(ratio, axis=1)
    # one weight for all channels, so that colours don't go different ways; those of outliers fall to nothing
    for _ in range(ROUNDS):
        distance = np.abs(ratio - result @ terms).max(0)
        own = weights / (1 + (distance / OUTLIER) ** 2) ** 2
        normal = (terms * own) @ terms.T + ridge
        result = np.linalg.solve(normal, (terms * own) @ ratio.T).T
    if own.sum() < MIN_AGREEMENT * weights.sum():
        return None
    return np.clip(result, -MAX_GAIN, MAX_GAIN)


def steady_gain(gains: Sequence[np.ndarray | None], at: int) -> np.ndarray:
    """(3, 3): the mean of the gains of a shot's frames around `at`, the nearer the heavier; 0 where none is known."""
    weights = np.exp(-np.abs(np.arange(len(gains)) - at) / DECAY)
    known = [number for number, gain in enumerate(gains) if gain is not None]
    if not known:
        return np.zeros((3, 3))
    return np.average(np.stack([gain for gain in gains if gain is not None]), axis=0, weights=weights[known])


def with_gain(patch: Tensor, gain: np.ndarray, strength: float) -> Tensor:
    """(3, P, P) with a gain of `light_gain`; black stays black.

    A gain that is exponential in both directions is the product of one for the columns and one for the rows.
    """
    size = patch.shape[-1]
    places = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    level, across, down = (torch.from_numpy(part).float()[:, None] * (strength / GAMMA) for part in gain.T)
    columns, rows = torch.exp(level + across * places), torch.exp(down * places)
    return patch * columns[:, None, :] * rows[:, :, None]


@functools.cache
def _skin() -> Tensor:
    """(144, 108): where an average face shows skin that speech moves little."""
    size = 2 * CROP_ROWS.stop  # finer than a view, for smooth edges
    lips = region_mask(usual_contour(LIPS), LIPS, size, 0.5, LIP_MARGIN)
    return on_view((_inside_polygon(size) * (lips == 0))[None])[0]


def _inside_polygon(size: int) -> Tensor:
    """(size, size) of 0 and 1 on the crop."""
    middles = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(middles * TEMPLATE_SIZE[0], middles * TEMPLATE_SIZE[1])
    inside = np.zeros((size, size), bool)
    corners = np.array(FACE_POLYGON)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        if y0 != y1:  # even-odd rule: every edge to the right of a pixel turns it around
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return torch.from_numpy(inside).float()
