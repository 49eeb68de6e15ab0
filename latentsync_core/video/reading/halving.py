"""Frames at half size, a quarter and so on, for detection at several scales."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...imaging.roi import Roi
from ..frame import Frame


def halved(frame: Frame) -> Frame:
    """The frame at half its size, rounded up, each sample the mean of its four; chroma that is halved already stays.

    Costs a tenth of what `Frame.rgb` to that size does. Meant to be looked at: stamps are kept, and chroma may come to
    lie a quarter of a pixel off.
    """
    layout, shape = frame.layout, frame.layout.pixel_format
    if len(frame.planes) == 1:
        planes = (_halved(frame.planes[0]),)
    else:
        first, *others = frame.planes
        shifts = (shape.chroma_shift_x, shape.chroma_shift_y)
        planes = (_halved(first), *(_halved(plane, *(not shift for shift in shifts)) for plane in others))
    smaller = dataclasses.replace(
        layout,
        width=-(-layout.width // 2),
        height=-(-layout.height // 2),
        pixel_format=dataclasses.replace(shape, chroma_shift_x=0, chroma_shift_y=0),
        siting=(0.0, 0.0),
    )
    return Frame(planes, frame.pts, frame.index, smaller)


def _halved(plane: np.ndarray, across: bool = True, down: bool = True) -> np.ndarray:
    """The mean of each 2x2 samples (or 2x1, 1x2) of a (rows, columns, ...) array; an odd edge counts twice."""
    exact = {"u": np.uint32 if plane.dtype.itemsize > 1 else np.uint16, "f": plane.dtype}[plane.dtype.kind]
    count = 1
    total = plane
    if down:
        total = _sum_row_pairs(total, exact)
        count *= 2
    if across:
        total = _sum_row_pairs(total.swapaxes(0, 1), exact).swapaxes(0, 1)
        count *= 2
    if count == 1:
        return plane
    if plane.dtype.kind == "f":
        return total * plane.dtype.type(1 / count)
    total += count // 2  # to the nearest level
    total //= count
    return total.astype(plane.dtype)


def _sum_row_pairs(plane: np.ndarray, exact: type) -> np.ndarray:
    """Sums of neighbouring rows."""
    total = plane[0::2].astype(exact)
    odd = plane.shape[0] % 2
    total[: len(total) - odd] += plane[1::2]
    if odd:
        total[-1] += plane[-1]
    return total


def reduced_part(frame: Frame, roi: Roi, halvings: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """RGB of at least the displayed pixels `roi`, halved that many times: (3, h, w) in [0, 1], and where it begins.

    The second value is the left and top edge of the picture in displayed pixels; each of its pixels is 2^halvings of
    these wide. Only that part of the frame is read.
    """
    layout, step = frame.layout, 2**halvings
    stored = layout.stored_roi(roi)
    grid = max(step, 2)  # begins where the halved planes' samples begin, chroma's too
    x0, y0 = stored.x0 // grid * grid, stored.y0 // grid * grid
    x1, y1 = (
        min(-(-end // grid) * grid, most) for end, most in ((stored.x1, layout.width), (stored.y1, layout.height))
    )
    part = _part(frame, Roi(x0, y0, x1, y1))
    for _ in range(halvings):
        part = halved(part)
    x1, y1 = x0 + part.layout.width * step, y0 + part.layout.height * step  # an odd edge was doubled
    left, top = {  # of the picture turned but not mirrored
        0: (x0, y0),
        90: (layout.height - y1, x0),
        180: (layout.width - x1, layout.height - y1),
        270: (y0, layout.width - x1),
    }[layout.rotation]
    if layout.mirrored:
        left = layout.displayed_size[0] - left - part.width * step
    return part.rgb(), (left, top)


def _part(frame: Frame, stored: Roi) -> Frame:
    """A stretch of stored pixels (x0 and y0 even) as a frame of its own that shares the samples."""
    layout = dataclasses.replace(frame.layout, width=stored.width, height=stored.height)
    if len(frame.planes) == 1:
        planes = (frame.planes[0][stored.y0 : stored.y1, stored.x0 : stored.x1],)
    else:
        shape = frame.layout.pixel_format
        across, down = shape.chroma_shift_x, shape.chroma_shift_y
        rows = slice(stored.y0 >> down, -(-stored.y1 >> down))
        columns = slice(stored.x0 >> across, -(-stored.x1 >> across))
        first, *others = frame.planes
        planes = (first[stored.y0 : stored.y1, stored.x0 : stored.x1], *(plane[rows, columns] for plane in others))
    return Frame(planes, frame.pts, frame.index, layout)
