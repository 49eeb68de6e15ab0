"""Filters of single-channel images: a sliding minimum, and OpenCV's Gaussian blur."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# OpenCV's fixed kernels for a Gaussian of up to seven taps whose sigma is left to it
SMALL_GAUSSIANS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
}


def sliding_minimum(image: Tensor, before: int, after: int) -> Tensor:
    """The minimum over rows and columns -before..+after around every pixel of (h, w); beyond the image nothing counts.

    Doubles the window step by step: a logarithm of its size in passes.
    """
    for dim in (1, 0):
        padding = (before, after) if dim == 1 else (0, 0, before, after)
        image = F.pad(image, padding, value=math.inf)
        window, length = 1, before + after + 1
        while window < length:
            step = min(window, length - window)
            count = image.shape[dim] - step
            image = torch.minimum(image.narrow(dim, 0, count), image.narrow(dim, step, count))
            window += step
    return image


def gaussian_blur(image: Tensor, radius: int) -> Tensor:
    """OpenCV's Gaussian blur of (h, w) with 2 radius + 1 taps and its own sigma; borders mirrored without the edge.

    Each direction is a few products of overlapping blocks with a band matrix: ten times as fast as a convolution.
    """
    kernel = _gaussian_kernel(radius)
    block = max(2 * radius, 32)  # outputs per block
    band = torch.zeros(block + 2 * radius, block)
    for column in range(block):
        band[column : column + len(kernel), column] = kernel
    height, width = image.shape
    # (h, blocks, taken).
    columns = image.index_select(1, _reflected_indices(width, radius, block)).unfold(1, len(band), block)
    image = torch.bmm(columns.permute(1, 0, 2), band.expand(columns.shape[1], -1, -1))  # (blocks, h, block)
    image = image.permute(1, 0, 2).reshape(height, -1)[:, :width]
    # (blocks, w, taken).
    rows = image.index_select(0, _reflected_indices(height, radius, block)).unfold(0, len(band), block)
    return torch.bmm(band.T.expand(len(rows), -1, -1), rows.transpose(1, 2)).reshape(-1, width)[:height]


def _reflected_indices(length: int, radius: int, block: int) -> Tensor:
    """Indices of `length` samples with `radius` more on both sides, the hind side filled up to whole blocks."""
    index = torch.arange(-radius, -(-length // block) * block + radius)
    index.remainder_(max(2 * length - 2, 1))  # the pattern repeats after going there and back
    return torch.where(index < length, index, 2 * length - 2 - index)


def _gaussian_kernel(radius: int) -> Tensor:
    """(2 radius + 1,) float32, summing to 1."""
    taps = 2 * radius + 1
    if taps in SMALL_GAUSSIANS:
        return torch.tensor(SMALL_GAUSSIANS[taps])
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(distance**2) / (2 * sigma**2))
    return (kernel / kernel.sum()).float()
