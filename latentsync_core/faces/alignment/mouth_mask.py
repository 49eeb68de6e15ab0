"""The reference's mouth mask, built from row spans: which pixels of the crop are kept and which are generated."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ...imaging.filters import sliding_minimum
from ...imaging.lanczos import lanczos4_levels

NATIVE_SIZE = 256  # pixels; the rows and columns below are those of a 256x256 crop
LATENT_FACTOR = 8  # pixels per latent sample
CHEEKS = (95, 128, (9, 78), (178, 247))  # rows 95..127: a strip on either side of the nose; the nose is kept
# The lower face with its rounded chin: (first row, first column, column after the last), each until the next entry.
# fmt: off
LOWER_FACE = (
    (128, 9, 248), (135, 9, 247), (136, 10, 247), (149, 10, 246), (150, 11, 246), (163, 11, 245), (164, 12, 245),
    (170, 12, 244), (171, 13, 244), (172, 13, 243), (173, 14, 243), (174, 14, 242), (175, 15, 242), (176, 15, 241),
    (177, 16, 241), (178, 16, 240), (179, 17, 239), (180, 18, 239), (181, 18, 238), (182, 19, 237), (184, 20, 236),
    (185, 21, 235), (187, 22, 234), (188, 22, 233), (189, 23, 233), (190, 24, 232), (191, 25, 231), (192, 26, 231),
    (193, 26, 230), (194, 27, 229), (195, 28, 229), (196, 29, 228), (197, 30, 227), (198, 31, 226), (199, 32, 225),
    (200, 33, 224), (201, 34, 224), (202, 34, 223), (203, 35, 222), (204, 36, 221), (205, 37, 220), (206, 38, 219),
    (207, 39, 218), (208, 40, 217), (209, 42, 216), (210, 43, 215), (211, 44, 214), (212, 45, 213), (213, 47, 212),
    (214, 48, 211), (215, 49, 209), (216, 51, 208), (217, 52, 207), (218, 54, 205), (219, 56, 204), (220, 57, 203),
    (221, 59, 201), (222, 60, 200), (223, 62, 198), (224, 64, 197), (225, 66, 195), (226, 68, 193), (227, 70, 192),
    (228, 72, 190), (229, 74, 188), (230, 76, 186), (231, 78, 184), (232, 80, 181), (233, 82, 179), (234, 85, 176),
    (235, 87, 174), (236, 90, 172), (237, 93, 169), (238, 95, 167), (239, 99, 165), (240, 104, 161), (241, 108, 157),
    (242, 131, 153),
)
# fmt: on
LOWER_FACE_END = 243  # the row after the last


def mouth_mask(resolution: int, grow: float = 0.0) -> Tensor:
    """The mask of a crop, (R, R) float32: 1 = keep, 0 = generate; between these at the edge if R is not 256.

    The reference resizes its 256x256 picture with OpenCV's 8-bit Lanczos filter, so every value is k / 255.

    Args:
        grow: percent of the crop's width by which the part to generate grows to every side: up the cheeks and over the
            nose, as it already reaches the crop's other sides. The reference's networks know only 0.
    """
    mask = _mouth_mask(resolution)
    reach = round(resolution * grow / 100)
    return sliding_minimum(mask, reach, reach) if reach else mask.clone()


def latent_mask(resolution: int, grow: float = 0.0) -> Tensor:
    """The mask that the U-Net gets, (R / 8, R / 8) float32: every eighth pixel of `mouth_mask`, from the first on."""
    return mouth_mask(resolution, grow)[::LATENT_FACTOR, ::LATENT_FACTOR].contiguous()


@functools.cache
def _mouth_mask(resolution: int) -> Tensor:
    mask = torch.full((NATIVE_SIZE, NATIVE_SIZE), 255.0)
    first, end, *strips = CHEEKS
    for start, stop in strips:
        mask[first:end, start:stop] = 0
    ends = [*(row for row, _, _ in LOWER_FACE[1:]), LOWER_FACE_END]
    for (row, start, stop), row_end in zip(LOWER_FACE, ends, strict=True):
        mask[row:row_end, start:stop] = 0
    return lanczos4_levels(mask[None], (resolution, resolution))[0] / 255
