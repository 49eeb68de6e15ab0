"""Affine sampling of images: transforms as 2x3 matrices on pixel centres, bilinear, of a region only."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from .roi import Roi

SMALLEST_AREA = 1e-12  # crop pixels per source pixel


def invert(transform: np.ndarray) -> np.ndarray:
    """The inverse of an affine map, (2, 3) float64.

    Raises:
        OptionError: it isn't finite, or squeezes the plane into a line.
    """
    if not np.isfinite(transform).all() or abs(np.linalg.det(transform[:, :2].astype(np.float64))) < SMALLEST_AREA:
        raise OptionError(
            f"the transform {np.asarray(transform).tolist()} can't be inverted; use those of frames with a visible face"
        )
    inverse = np.linalg.inv(transform[:, :2].astype(np.float64))
    return np.concatenate([inverse, -inverse @ transform[:, 2:].astype(np.float64)], axis=1)


def map_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps (..., 2) points x y."""
    return points @ transform[:, :2].T + transform[:, 2]


def bounds(
    transform: np.ndarray, box: tuple[int, int, int, int], frame_size: tuple[int, int], margin: int
) -> Roi | None:
    """The pixels of a frame that a box falls on once mapped, `margin` more all round; None if none do.

    `transform` maps the box (its outermost pixel centres x0, y0, x1, y1) into the frame of `frame_size` width, height.
    """
    x0, y0, x1, y1 = box
    corners = map_points(transform, np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.float64))
    limit = 2.0**30  # beyond any frame; keeps wild transforms within whole numbers
    left, top = np.floor(corners.min(0)).clip(-limit, limit).astype(int) - margin
    right, bottom = np.ceil(corners.max(0)).clip(-limit, limit).astype(int) + 1 + margin
    roi = Roi(max(int(left), 0), max(int(top), 0), min(int(right), frame_size[0]), min(int(bottom), frame_size[1]))
    return roi if roi.width > 0 and roi.height > 0 else None


def positions(transform: np.ndarray, roi: Roi, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Where `transform` maps every pixel of `roi`: columns and rows, two (h, w) float32 tensors on `device`."""
    (a, b, c), (d, e, f) = transform.astype(np.float64)
    x = torch.arange(roi.x0, roi.x1, dtype=torch.float64)
    y = torch.arange(roi.y0, roi.y1, dtype=torch.float64)
    # Doubles stay on the CPU: some devices have none.
    columns = (a * x + c).float().to(device) + (b * y).float().to(device)[:, None]
    rows = (d * x + f).float().to(device) + (e * y).float().to(device)[:, None]
    return columns, rows


def sample(image: Tensor, columns: Tensor, rows: Tensor, padding: str = "zeros") -> Tensor:
    """Bilinear samples of a (c, H, W) float32 image at (h, w) positions: (c, h, w); outside is zero or "border"."""
    height, width = image.shape[-2:]
    grid = torch.stack([(columns * 2 + 1) / width - 1, (rows * 2 + 1) / height - 1], dim=-1)
    return F.grid_sample(image[None], grid[None], mode="bilinear", padding_mode=padding, align_corners=False)[0]


def coverage(columns: Tensor, rows: Tensor, size: tuple[int, int]) -> Tensor:
    """What `sample` makes of a picture of ones of that `size`, by arithmetic: 1 inside, falling to 0 within a pixel."""
    across = torch.minimum(columns + 1, size[0] - columns).clamp_(0, 1)
    return across.mul_(torch.minimum(rows + 1, size[1] - rows).clamp_(0, 1))
