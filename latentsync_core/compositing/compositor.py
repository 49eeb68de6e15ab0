"""Compositing: a face patch warped back into its frame with a soft edge, computed and written only where it falls."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from ..faces.alignment.align import crop_size
from ..faces.alignment.mouth_mask import mouth_mask
from ..imaging import affine
from ..imaging.roi import Roi
from ..video.frame import Frame

EDGE_SHARE = 20  # the edge's width is the square root of the face's area divided by this
MOUTH_EDGE_SHARE = 1 / 32  # of the crop's side: half the width of the drawn region's soft edge
BLEED = 16  # pixels by which a layer's colours go on beyond its alpha: a ProRes macroblock
MARGIN = 3  # pixels around the patch whose mask is 0, so that filters see where it ends
REFERENCE_BACKGROUND = 127  # what surrounds the face, in units where colours are -1 to 1
# OpenCV's fixed kernels for a Gaussian of up to seven taps whose sigma is left to it
SMALL_GAUSSIANS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
}


class Region(Enum):
    """How much of a new face is pasted."""

    MOUTH = "mouth"  # what is drawn anew: the rest of the face stays the source's own samples
    FACE = "face"  # all of the crop: for crops whose skin a restorer has worked on


@dataclass(frozen=True)
class CompositeOptions:
    """How a patch is blended in."""

    feather: float = 1.0  # width of the soft edges, in the usual widths; 0 is a hard edge
    region: Region = Region.MOUTH
    occlusion: bool = True  # what lies before the mouth, a hand, a microphone, stays the source's
    like_reference: bool = False  # the whole crop pasted, 8-bit steps and a dark rim included, as upstream does

    @classmethod
    def reference(cls) -> CompositeOptions:
        """What the reference does, flaws included."""
        return cls(like_reference=True, occlusion=False)

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 4:
            raise OptionError(f"the feather is {self.feather} of the usual width; use 0 to 4")


class Layer(NamedTuple):
    """A patch as it lies over its frame; colours are straight, that is not multiplied by alpha.

    The composite is (1 - alpha) · source + alpha · rgb in the source's own (display) values.
    """

    roi: Roi  # the part of the frame that it covers
    rgb: Tensor  # (3, h, w) float32 in [0, 1], also where alpha is 0
    alpha: Tensor  # (h, w) float32 in [0, 1]

    def grown(self, width: int, height: int) -> Layer:
        """The same layer with its outermost colours going on for some pixels under no alpha, within the frame.

        Where a program scales a layer, or a lossy codec keeps it, no dark colours get into its edge.
        """
        x0, y0 = max(self.roi.x0 - BLEED, 0), max(self.roi.y0 - BLEED, 0)
        x1, y1 = min(self.roi.x1 + BLEED, width), min(self.roi.y1 + BLEED, height)
        padding = (self.roi.x0 - x0, x1 - self.roi.x1, self.roi.y0 - y0, y1 - self.roi.y1)
        rgb = F.pad(self.rgb[None], padding, mode="replicate")[0]
        return Layer(Roi(x0, y0, x1, y1), rgb, F.pad(self.alpha, padding))

    def rgba(self, width: int, height: int) -> Tensor:
        """(4, height, width) float32, straight, of the `grown` layer on the whole frame; 0 beyond."""
        roi, rgb, alpha = self.grown(width, height)
        picture = torch.zeros(4, height, width)
        picture[:3, roi.y0 : roi.y1, roi.x0 : roi.x1] = rgb
        picture[3, roi.y0 : roi.y1, roi.x0 : roi.x1] = alpha
        return picture


def merged(layers: Sequence[Layer]) -> Layer | None:
    """Several layers, the undermost first, as one that composites the same; None of none."""
    if len(layers) < 2:
        return layers[0] if layers else None
    corners = np.array([layer.roi for layer in layers])
    roi = Roi(*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    rgb, alpha = torch.zeros(3, roi.height, roi.width), torch.zeros(roi.height, roi.width)
    for layer in layers:
        x0, y0 = layer.roi.x0 - roi.x0, layer.roi.y0 - roi.y0
        part = np.s_[y0 : y0 + layer.roi.height, x0 : x0 + layer.roi.width]
        under, own = alpha[part] * (1 - layer.alpha), layer.alpha
        both = under + own
        mixed = (rgb[(slice(None), *part)] * under + layer.rgb * own) / both.clamp(min=1e-6)
        rgb[(slice(None), *part)] = torch.where(both > 0, mixed, layer.rgb)
        alpha[part] = both
    return Layer(roi, rgb, alpha)


def matte_of(part: tuple[Roi, Tensor] | None, width: int, height: int) -> Tensor:
    """(height, width) float32 in [0, 1]: the alpha `part` on the whole frame, 0 beyond and where there is none."""
    matte = torch.zeros(height, width)
    if part is not None:
        roi, alpha = part
        matte[roi.y0 : roi.y1, roi.x0 : roi.x1] = alpha
    return matte


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
        region: (R, R) in [0, 1], how much of the patch shows at each of its pixels (`mouth_region`); None: all of it.
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
    shape = _shape(transform, patch.shape[-1], resolution, frame_size, options, region)
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
    return Layer(shape.roi, rgb * shape.covered, shape.alpha)


def restore_face(
    image: Tensor,
    transform: np.ndarray,
    patch: Tensor,
    resolution: int,
) -> Tensor:
    """The reference's restore step on a plain picture: (3, H, W) uint8 in and out, truncated to whole levels."""
    result = image.clone()
    layer = face_layer(transform, patch, resolution, (image.shape[-1], image.shape[-2]), CompositeOptions.reference())
    if layer is not None:
        roi, rgb, alpha = layer
        part = result[:, roi.y0 : roi.y1, roi.x0 : roi.x1]
        blended = alpha * (rgb * 255) + (1 - alpha) * part
        part.copy_(torch.where(alpha > 0, blended.clamp(0, 255).to(torch.uint8), part))
    return result


@functools.lru_cache(maxsize=8)
def mouth_region(resolution: int, feather: float = 1.0) -> Tensor:
    """The part of a crop that is drawn anew, with a soft edge: (R, R) float32, 1 = the patch shows, 0 = the source.

    The reference pastes the whole crop, most of which is the source's own face, resampled twice. Pasting this region
    alone leaves that part as it was, and a soft edge hides the difference in sharpness.
    """
    drawn = 1 - mouth_mask(resolution).float()
    edge = int(resolution * MOUTH_EDGE_SHARE * feather)
    return _gaussian_blur(drawn, edge) if edge else drawn


def shown_region(resolution: int, options: CompositeOptions) -> Tensor | None:
    """The region that `options` ask for, as `paste_face` takes it."""
    if options.like_reference or options.region is Region.FACE:
        return None
    return mouth_region(resolution, options.feather)


@functools.lru_cache(maxsize=8)
def drawn_region(resolution: int) -> Tensor:
    """The part of a crop that shows the drawn mouth where the crop goes out by itself: (R, R) float32, as above.

    It is 1 wherever `mouth_region` is above 0, so that pasting such a crop by the mouth region blends no edge twice.
    """
    edge = int(resolution * MOUTH_EDGE_SHARE)
    kept = _sliding_minimum(mouth_mask(resolution).float(), 2 * edge, 2 * edge)
    return _gaussian_blur((kept < 1).float(), edge).clamp_(0, 1)


def useful_patch_size(transforms: np.ndarray, resolution: int) -> int:
    """Pixels a side from which on a patch shows no more detail in any frame of `transforms` (F, 2, 3)."""
    present = transforms[np.isfinite(transforms).all(axis=(1, 2))]
    sizes = (_picture_of(transform, 1 << 20, resolution)[1] for transform in present)
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
    covered = affine.coverage(*affine.positions(transform, roi), size)
    covered = _sliding_minimum(covered, 1, 0)
    edge = int(int(math.sqrt(float(covered.sum(dtype=torch.float64)))) / EDGE_SHARE * feather)
    # OpenCV anchors an even square at its centre index; an empty one means 3x3
    inner = _sliding_minimum(covered, edge or 1, edge - 1 if edge else 1)
    soft = _gaussian_blur(inner, edge) if edge else inner
    shown = _where_above_zero(soft)
    if shown is None:
        return None
    return _part_of(roi, shown), soft[shown], covered[shown]


class _Shape(NamedTuple):
    """Where a patch falls and how much of it shows there."""

    roi: Roi
    alpha: Tensor  # (h, w) in [0, 1]
    covered: Tensor  # (h, w), how far a pixel and its neighbours lie inside the patch
    columns: Tensor  # (h, w), positions in the picture
    rows: Tensor
    size: tuple[int, int]  # of the picture that the patch is brought to: width, height


def _shape(
    transform: np.ndarray,
    patch_size: int,
    resolution: int,
    frame_size: tuple[int, int],
    options: CompositeOptions,
    region: Tensor | None,
) -> _Shape | None:
    """Everything about a pasted patch but its colours; None where there is no face or nothing falls inside."""
    if not np.isfinite(transform).all():
        return None
    transform, size = _picture_of(transform, patch_size, resolution)
    mask = soft_mask(transform, size, frame_size, options.feather)
    if mask is None:
        return None
    roi, soft, covered = mask
    columns, rows = affine.positions(transform, roi)
    if options.like_reference:
        return _Shape(roi, soft, covered, columns, rows, size)
    alpha = soft * covered
    if region is not None:
        alpha *= affine.sample(_resized(region[None], size), columns, rows)[0].clamp_(0, 1)
    shown = _where_above_zero(alpha)
    if shown is None:
        return None
    return _Shape(_part_of(roi, shown), alpha[shown], covered[shown], columns[shown], rows[shown], size)


def _where_above_zero(mask: Tensor) -> tuple[slice, slice] | None:
    """The smallest part of (h, w), rows and columns, that holds every value above 0; None if there is none."""
    rows, columns = (torch.nonzero(mask.amax(dim) > 0).flatten() for dim in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _part_of(roi: Roi, shown: tuple[slice, slice]) -> Roi:
    rows, columns = shown
    return Roi(roi.x0 + columns.start, roi.y0 + rows.start, roi.x0 + columns.stop, roi.y0 + rows.stop)


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(c, h, w) → (c, height, width) of `size` = (width, height), bicubic, as the reference brings patches to size."""
    if tuple(picture.shape[-2:]) == size[::-1]:
        return picture
    return F.interpolate(picture[None], size=size[::-1], mode="bicubic", antialias=True, align_corners=False)[0]


def _picture_of(transform: np.ndarray, patch_size: int, resolution: int) -> tuple[np.ndarray, tuple[int, int]]:
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


def _sliding_minimum(image: Tensor, before: int, after: int) -> Tensor:
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


def _gaussian_blur(image: Tensor, radius: int) -> Tensor:
    """OpenCV's Gaussian blur of (h, w) with 2 radius + 1 taps and its own sigma; borders mirrored without the edge.

    Each direction is a few products of overlapping blocks with a band matrix: ten times as fast as a convolution.
    """
    kernel = _gaussian(radius)
    block = max(2 * radius, 32)  # outputs per block
    band = torch.zeros(block + 2 * radius, block)
    for column in range(block):
        band[column : column + len(kernel), column] = kernel
    height, width = image.shape
    columns = image.index_select(1, _mirrored(width, radius, block)).unfold(1, len(band), block)  # (h, blocks, taken)
    image = torch.bmm(columns.permute(1, 0, 2), band.expand(columns.shape[1], -1, -1))  # (blocks, h, block)
    image = image.permute(1, 0, 2).reshape(height, -1)[:, :width]
    rows = image.index_select(0, _mirrored(height, radius, block)).unfold(0, len(band), block)  # (blocks, w, taken)
    return torch.bmm(band.T.expand(len(rows), -1, -1), rows.transpose(1, 2)).reshape(-1, width)[:height]


def _mirrored(length: int, radius: int, block: int) -> Tensor:
    """Indices of `length` samples with `radius` more on both sides, the hind side filled up to whole blocks."""
    index = torch.arange(-radius, -(-length // block) * block + radius)
    index.remainder_(max(2 * length - 2, 1))  # the pattern repeats after going there and back
    return torch.where(index < length, index, 2 * length - 2 - index)


def _gaussian(radius: int) -> Tensor:
    """(2 radius + 1,) float32, summing to 1."""
    taps = 2 * radius + 1
    if taps in SMALL_GAUSSIANS:
        return torch.tensor(SMALL_GAUSSIANS[taps])
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(distance**2) / (2 * sigma**2))
    return (kernel / kernel.sum()).float()
