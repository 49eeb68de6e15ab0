"""Compositing: a face patch warped back into its frame with a feathered edge, computed only where it falls."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.alignment.align import crop_size
from ..faces.alignment.mouth_mask import mouth_mask
from ..imaging import affine
from ..imaging.filters import gaussian_blur, sliding_minimum
from ..imaging.roi import Roi
from ..video.frame import Frame
from .composite_options import CompositeOptions, Region
from .layer import Layer

FEATHER_DIVISOR = 20  # the edge's width is the square root of the face's area divided by this
MOUTH_FEATHER_FRACTION = 1 / 32  # of the crop's side: half the width of the drawn region's soft edge
MARGIN = 3  # pixels around the patch whose mask is 0, so that filters see where it ends
REFERENCE_BACKGROUND = 127  # what surrounds the face, in units where colours are -1 to 1


def paste_face(
    frame: Frame,
    transform: np.ndarray,
    patch: Tensor,
    resolution: int,
    options: CompositeOptions | None = None,
    region: Tensor | None = None,
) -> Roi | None:
    """Pastes a face into `frame`, in place, and returns the part that may have changed; None if nothing did.

    The reference's restore step on the face's surroundings only; samples outside the soft mask are not touched.

    Args:
        transform: (2, 3), displayed source pixel → crop pixel of `crop_size(resolution)`; NaN means no face.
        region: (n, n) in [0, 1], any n, how much of the patch shows at each of its pixels; None: all of it. Where the
            options' region follows the contour it alone decides, otherwise the crop's own soft edge (`soft_mask`) too.
        patch: (3, P, P) float32 RGB in [0, 1] (clamped after the warp). P is usually `resolution`; a patch of another
            size (from an upscaler) shows as much of its detail as the frame can hold.
    """
    layer = face_layer(transform, patch, resolution, (frame.width, frame.height), options, region)
    if layer is None:
        return None
    frame.paste(*layer)
    return layer.roi


def face_layer(
    transform: np.ndarray,
    patch: Tensor,
    resolution: int,
    frame_size: tuple[int, int],
    options: CompositeOptions | None = None,
    region: Tensor | None = None,
) -> Layer | None:
    """What `paste_face` pastes into a frame of `frame_size` (width, height); None where nothing falls inside."""
    options = options or CompositeOptions()
    shape = _placement(transform, patch.shape[-1], resolution, frame_size, options, region)
    if shape is None:
        return None
    picture = _resized(patch.float(), shape.size)
    if not options.like_reference:
        rgb = affine.sample(picture, shape.columns, shape.rows, padding="border").clamp_(0, 1)
        return Layer(shape.roi, rgb, shape.alpha)
    # The reference warps a face in [-1, 1] over a background of 127, so a pixel partly inside goes white, and darkens
    # that by its eroded coverage, but not the mask: where the soft edge reaches past the face, the frame goes dark.
    shade = (1 - affine.coverage(shape.columns, shape.rows, shape.size)) * (REFERENCE_BACKGROUND / 2)
    rgb = (affine.sample(picture - 0.5, shape.columns, shape.rows) + 0.5 + shade).clamp_(0, 1)
    return Layer(shape.roi, rgb * shape.coverage, shape.alpha)


@functools.lru_cache(maxsize=8)
def mouth_region(resolution: int, feather: float = 1.0) -> Tensor:
    """The generated part of a crop, with a soft edge: (R, R) float32, 1 = the patch shows, 0 = the source.

    The reference pastes the whole crop, most of which is the source's own face, resampled twice. Pasting this region
    alone leaves that part as it was, and a soft edge hides the difference in sharpness.
    """
    mouth = 1 - mouth_mask(resolution).float()
    edge = int(resolution * MOUTH_FEATHER_FRACTION * feather)
    return gaussian_blur(mouth, edge) if edge else mouth


def paste_region(resolution: int, options: CompositeOptions) -> Tensor | None:
    """The fixed region that `options` ask for, as `paste_face` takes it; of those that follow a contour their limit."""
    if options.like_reference or options.region is Region.FACE:
        return None
    return mouth_region(resolution, options.feather)


@functools.lru_cache(maxsize=8)
def generated_region(resolution: int) -> Tensor:
    """The part of an exported crop that shows the generated mouth: (R, R) float32, as above.

    It is 1 wherever `mouth_region` is above 0, so that pasting such a crop by the mouth region blends no edge twice.
    """
    edge = int(resolution * MOUTH_FEATHER_FRACTION)
    eroded = sliding_minimum(mouth_mask(resolution).float(), 2 * edge, 2 * edge)
    return gaussian_blur((eroded < 1).float(), edge).clamp_(0, 1)


def max_useful_patch_size(transforms: np.ndarray, resolution: int) -> int:
    """Pixels a side from which on a patch shows no more detail in any frame of `transforms` (F, 2, 3)."""
    present = transforms[np.isfinite(transforms).all(axis=(1, 2))]
    sizes = (_prescale(transform, 1 << 20, resolution)[1] for transform in present)
    return max((max(size) for size in sizes), default=resolution)


def soft_mask(
    transform: np.ndarray, size: tuple[int, int], frame_size: tuple[int, int], feather: float = 1.0
) -> tuple[Roi, Tensor, Tensor] | None:
    """The reference's feathered mask of a warped picture, where it is above 0; None if it is nowhere.

    Args:
        transform: (2, 3), frame pixel → picture pixel.
        size: the picture's width and height.
        frame_size: the frame's width and height.

    Returns:
        The region of the frame, the soft mask (h, w) float32 in it, and the picture's eroded coverage (h, w): the
        part of each pixel, or of its left and upper neighbours if less, that lies inside the picture.
    """
    # a pixel just outside the picture is still covered in part
    roi = affine.bounds(affine.invert(transform), (-1, -1, *size), frame_size, MARGIN)
    if roi is None:
        return None
    coverage = affine.coverage(*affine.positions(transform, roi), size)
    coverage = sliding_minimum(coverage, 1, 0)
    edge = int(int(math.sqrt(float(coverage.sum(dtype=torch.float64)))) / FEATHER_DIVISOR * feather)
    # OpenCV anchors an even square at its centre index; an empty one means 3x3
    inner = sliding_minimum(coverage, edge or 1, edge - 1 if edge else 1)
    soft = gaussian_blur(inner, edge) if edge else inner
    shown = _nonzero_bounds(soft)
    if shown is None:
        return None
    return _sub_roi(roi, shown), soft[shown], coverage[shown]


class _Placement(NamedTuple):
    """Where a patch falls and how much of it shows there."""

    roi: Roi
    alpha: Tensor  # (h, w) in [0, 1]
    coverage: Tensor  # (h, w), how far a pixel and its neighbours lie inside the patch
    columns: Tensor  # (h, w), positions in the picture
    rows: Tensor
    size: tuple[int, int]  # of the picture that the patch is brought to: width, height


def _placement(
    transform: np.ndarray,
    patch_size: int,
    resolution: int,
    frame_size: tuple[int, int],
    options: CompositeOptions,
    region: Tensor | None,
) -> _Placement | None:
    """Everything about a pasted patch but its colours; None where there is no face or nothing falls inside."""
    if not np.isfinite(transform).all():
        return None
    transform, size = _prescale(transform, patch_size, resolution)
    if region is not None and options.region.follows_contour:
        return _placement_in_region(transform, size, frame_size, region)
    mask = soft_mask(transform, size, frame_size, options.feather)
    if mask is None:
        return None
    roi, soft, coverage = mask
    columns, rows = affine.positions(transform, roi)
    if options.like_reference:
        return _Placement(roi, soft, coverage, columns, rows, size)
    alpha = soft * coverage
    if region is not None:
        alpha *= affine.sample(_resized(region[None], size), columns, rows)[0].clamp_(0, 1)
    shown = _nonzero_bounds(alpha)
    if shown is None:
        return None
    return _Placement(_sub_roi(roi, shown), alpha[shown], coverage[shown], columns[shown], rows[shown], size)


def _placement_in_region(
    transform: np.ndarray, size: tuple[int, int], frame_size: tuple[int, int], region: Tensor
) -> _Placement | None:
    """`_placement` of a region that lies inside the picture with all of its soft edge: nothing else is computed."""
    shown = _nonzero_bounds(region)
    if shown is None:
        return None
    rows, columns = shown
    across, down = size[0] / region.shape[1], size[1] / region.shape[0]  # picture pixels per pixel of the region
    corners = (
        math.floor((columns.start - 0.5) * across - 0.5),
        math.floor((rows.start - 0.5) * down - 0.5),
        math.ceil((columns.stop + 0.5) * across - 0.5),
        math.ceil((rows.stop + 0.5) * down - 0.5),
    )
    roi = affine.bounds(affine.invert(transform), corners, frame_size, margin=0)
    if roi is None:
        return None
    at_columns, at_rows = affine.positions(transform, roi)
    alpha = affine.sample(region[None], (at_columns + 0.5) / across - 0.5, (at_rows + 0.5) / down - 0.5)[0].clamp_(0, 1)
    shown = _nonzero_bounds(alpha)
    if shown is None:
        return None
    return _Placement(
        _sub_roi(roi, shown), alpha[shown], torch.ones_like(alpha[shown]), at_columns[shown], at_rows[shown], size
    )


def _nonzero_bounds(mask: Tensor) -> tuple[slice, slice] | None:
    """The smallest part of (h, w), rows and columns, that holds every value above 0; None if there is none."""
    rows, columns = (torch.nonzero(mask.amax(dim) > 0).flatten() for dim in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _sub_roi(roi: Roi, shown: tuple[slice, slice]) -> Roi:
    rows, columns = shown
    return Roi(roi.x0 + columns.start, roi.y0 + rows.start, roi.x0 + columns.stop, roi.y0 + rows.stop)


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(c, h, w) → (c, height, width) of `size` = (width, height), bicubic, as the reference brings patches to size."""
    if tuple(picture.shape[-2:]) == size[::-1]:
        return picture
    return F.interpolate(picture[None], size=size[::-1], mode="bicubic", antialias=True, align_corners=False)[0]


def _prescale(transform: np.ndarray, patch_size: int, resolution: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The size that a patch is brought to before the warp, and the transform to it, (2, 3) float64.

    Of a patch larger than `resolution` as much is kept as the frame can show; what it can't show would only alias.
    """
    transform = transform.astype(np.float64)
    width, height = crop_size(resolution)
    frame_pixels = 1 / math.sqrt(max(abs(np.linalg.det(transform[:, :2])), affine.SMALLEST_AREA))  # per crop pixel
    shown = min(max(patch_size / resolution, 1.0), max(frame_pixels, 1.0))
    if shown == 1.0:
        return transform, (width, height)
    size = (round(width * shown), round(height * shown))
    scale = np.array(size) / (width, height)
    larger = transform * scale[:, None]
    larger[:, 2] += (scale - 1) / 2  # a resize keeps the picture's edges in place, not its first pixel's centre
    return larger, size
