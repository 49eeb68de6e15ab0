"""Copies a decoded frame's samples out of the decoder's padded lines, into planes of the layout that frames have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..clip import Crop
from ..pixel_format import PACKED, PACKED_ALPHA, PACKED_BYTES, PixelFormat, has_alpha

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane


def color_planes(decoded: VideoFrame, form: PixelFormat, width: int, height: int, crop: Crop) -> tuple[np.ndarray, ...]:
    """The three planes of the `width` by `height` samples inside the crop, (rows, columns) uint8 or uint16.

    `form` is the planar format of `decoded`; a packed frame's pixels are put into planes.
    """
    packed = PACKED.get(decoded.format.name)
    if packed is not None:
        pixels = _pixels(decoded)
        planes = [pixels[:, :, channel] for channel in packed]
    else:
        planes = [_lines(plane, form.dtype) for plane in decoded.planes[:3]]  # a fourth is alpha
    parts = []
    for number, (plane, (rows, columns)) in enumerate(zip(planes, form.plane_shapes(width, height), strict=True)):
        down, across = (form.chroma_shift_y, form.chroma_shift_x) if number else (0, 0)
        top, left = crop.top >> down, crop.left >> across
        parts.append(plane[top : top + rows, left : left + columns].copy())
    return tuple(parts)


def alpha_plane(decoded: VideoFrame, form: PixelFormat, width: int, height: int, crop: Crop) -> np.ndarray | None:
    """The alpha of the samples inside the crop, (height, width) of the planes' dtype; None where a frame has none."""
    name = decoded.format.name
    if not has_alpha(name):
        return None
    plane = _pixels(decoded)[:, :, PACKED_ALPHA[name]] if name in PACKED else _lines(decoded.planes[3], form.dtype)
    return plane[crop.top : crop.top + height, crop.left : crop.left + width].copy()


def _pixels(decoded: VideoFrame) -> np.ndarray:
    """A packed frame's (rows, columns, bytes a pixel), with what pads the lines."""
    lines = _lines(decoded.planes[0], np.dtype(np.uint8))
    bytes_per_pixel = PACKED_BYTES.get(decoded.format.name, 4)
    whole = lines[:, : lines.shape[1] // bytes_per_pixel * bytes_per_pixel]
    return whole.reshape(len(lines), -1, bytes_per_pixel)


def _lines(plane: VideoPlane, dtype: np.dtype) -> np.ndarray:
    """A view of a plane's lines with what pads them."""
    return np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
