"""How sharp a face is, whatever its size: how much of its detail a slight blur would take away."""

from __future__ import annotations

import torch
import torch.nn.functional as F

GRID_SIZE = 64  # pixels across the mesh's square, in which a face is some 43: what the smallest faces still have
BLUR_SIZE = 5  # of those pixels: the box that is blurred with
NOISE_LEVEL = 2.0 / 255  # a difference of neighbours below this is noise
MAX_DETAIL_LOSS = 0.75  # the share of detail that an ideally sharp face loses


def face_sharpness(picture: torch.Tensor) -> float:
    """0 (without any detail) to about 1 (as sharp as can be) of a level (3, s, s) picture of a mesh's square.

    After F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
    (2007): a sharp picture loses most of its differences between neighbours when it is blurred again, a blurred one
    few. Measured at one small size of the face, so that a small sharp face counts as sharp.
    """
    grey = picture.mean(0)[None, None]
    grey = F.adaptive_avg_pool2d(grey, GRID_SIZE)
    margin = GRID_SIZE // 6  # the face itself: the square is half as large again
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
