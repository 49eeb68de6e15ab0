"""OpenCV's Lanczos resize (`INTER_LANCZOS4`), written from its definition; crops and masks go through it."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

TAPS = 8  # samples that each output sample is made of, per direction
FIXED_POINT_ONE = 2048  # the fixed-point weights' 1.0: 11 bits


def lanczos4_levels(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes (..., h, w) images of whole levels 0..255 (any dtype) to `size` = (width, height), as float32 levels.

    Half-pixel centres, no antialiasing when shrinking, edge samples repeated. Weights are rounded to 1/2048 and both
    passes are summed exactly before the one rounding at the end, as OpenCV does for 8-bit pictures.
    """
    if tuple(images.shape[-2:]) == size[::-1]:
        return images.float()
    both = _filter_separable(images.to(torch.int32), size)
    # 32 bits hold the sums, as they do in OpenCV: at most 255 * 2048**2 times 1.88, the filter's largest overshoot
    return ((both + FIXED_POINT_ONE**2 // 2) >> 22).clamp_(0, 255).float()


def lanczos4(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The same filter without any rounding: (..., h, w) to `size` = (width, height), float32, unclamped."""
    return images.float() if tuple(images.shape[-2:]) == size[::-1] else _filter_separable(images.float(), size)


def _filter_separable(images: Tensor, size: tuple[int, int]) -> Tensor:
    rows = _filter(images, size[1])
    return _filter(rows.transpose(-1, -2).contiguous(), size[0]).transpose(-1, -2)


def _filter(images: Tensor, length: int) -> Tensor:
    """Filters the rows of (..., h, w) to `length` of them; a whole-number result is FIXED_POINT_ONE times too large."""
    taps, weights = (table.to(images.device) for table in _taps(images.shape[-2], length))
    if not images.is_floating_point():
        weights = (weights * FIXED_POINT_ONE).round().to(images.dtype)
    result = images[..., taps[0], :] * weights[0, :, None]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        result.addcmul_(images[..., tap, :], weight[:, None])
    return result


@functools.lru_cache(maxsize=16)
def _taps(source: int, length: int) -> tuple[Tensor, Tensor]:
    """The eight source samples of every output sample and their weights, (8, length) int64 and float32."""
    position = ((torch.arange(length, dtype=torch.float64) + 0.5) * (source / length) - 0.5).float()
    first = position.floor()
    offset = (position - first).double() + 3 - torch.arange(TAPS)[:, None]  # of the output sample from each tap
    weight = torch.sinc(offset) * torch.sinc(offset / 4)
    taps = (first.long() - 3 + torch.arange(TAPS)[:, None]).clamp_(0, source - 1)
    return taps, (weight / weight.sum(0)).float()
