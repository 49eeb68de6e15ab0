"""A face's sharpness, independent of its size: the share of its detail that a slight blur removes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

GRID_SIZE = 64  # pixels across the mesh's square, some 43 of them the face: the smallest faces have that many
BLUR_SIZE = 5  # of those pixels: the length of the box blur
NOISE_LEVEL = 2.0 / 255  # differences between neighbours below this are noise
MAX_DETAIL_LOSS = 0.75  # the share of detail that a perfectly sharp face loses


def face_sharpness(picture: torch.Tensor) -> float:
    """0 (no detail) to about 1 (perfectly sharp), of an upright (3, s, s) crop of the mesh's square.

    After F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
    (2007): blurring removes most of the differences between neighbours from a sharp picture, few from a blurred
    one. Measured at one small size of the face, so that small faces can count as sharp.
    """
    grey = picture.mean(0)[None, None]
    grey = F.adaptive_avg_pool2d(grey, GRID_SIZE)
    margin = GRID_SIZE // 6  # leaves the face: the square is 1.5 times as large
    scores = []
    for dim in (2, 3):
        kernel = (BLUR_SIZE, 1) if dim == 2 else (1, BLUR_SIZE)
        edges = (kernel[0] // 2, kernel[1] // 2)
        blurred = F.avg_pool2d(grey, kernel, stride=1, padding=edges, count_include_pad=False)
        inside = slice(margin, GRID_SIZE - margin)
        sharp, soft = (plane.diff(dim=dim)[0, 0][inside, inside].abs() for plane in (grey, blurred))
        significant = sharp > NOISE_LEVEL
        total = float(sharp[significant].sum())
        scores.append(float((sharp - soft).clamp(min=0)[significant].sum()) / total if total > 0 else 0.0)
    return min(min(scores) / MAX_DETAIL_LOSS, 1.0)  # motion blurs one direction only
