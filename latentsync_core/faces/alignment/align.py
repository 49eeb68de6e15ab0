"""Alignment: the similarity transform from three face points to the networks' template, and the crop that it cuts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ...errors import OptionError
from ...imaging import affine
from ...imaging.lanczos import lanczos4, lanczos4_levels
from ...imaging.roi import Roi
from ...video.frame import Frame
from .align_options import AlignOptions
from .smoothing import smooth_landmarks

TEMPLATE_SIZE = (75, 100)  # the crop's width and height in the template's own units
TEMPLATE = ((17.0, 20.0), (58.0, 20.0), (37.5, 40.0))  # left brow, right brow, nose in the same units
PIXELS_PER_UNIT_AT_256 = 2.8  # crop pixels per unit at resolution 256
EMA_DECAY = 0.2  # weight of the previous state in the reference's moving average
BORDER_LEVEL = 127.0  # of 255: the crop's grey beyond the frame


def crop_size(resolution: int) -> tuple[int, int]:
    """Width and height in pixels, truncated, of the crop before it is resized to a square of `resolution`."""
    ratio = resolution / 256 * PIXELS_PER_UNIT_AT_256
    return int(TEMPLATE_SIZE[0] * ratio), int(TEMPLATE_SIZE[1] * ratio)


def template(resolution: int) -> np.ndarray:
    """The three points' target positions: (3, 2) float64, crop pixels."""
    return np.array(TEMPLATE) * (resolution / 256 * PIXELS_PER_UNIT_AT_256)


def align_track(
    landmarks: np.ndarray,
    visible: np.ndarray,
    resolution: int,
    options: AlignOptions | None = None,
    sample_aspect: Fraction = Fraction(1),
    times: np.ndarray | None = None,
    segments: Sequence[tuple[int, int]] | None = None,
) -> np.ndarray:
    """Transforms of a whole track: (N, 2, 3) float32, displayed source pixels → crop pixels; NaN where not visible.

    `landmarks` (N, 3, 2) in displayed pixels. The fit is made in geometrically square pixels, `sample_aspect` being a
    source sample's width by its height. Landmarks are temporally smoothed only if their `times` (N,), in seconds, are
    given, separately in each of `segments`, half-open ranges of frames that show one face without a cut; without
    segments, in each run of visible frames.

    Raises:
        OptionError: three visible points coincide or aren't finite.
    """
    options = options or AlignOptions()
    aspect = float(sample_aspect)
    if times is not None and options.smoothing_strength > 0:
        if segments is None:
            edges = np.flatnonzero(np.diff(np.pad(np.asarray(visible, np.int8), 1)))
            segments = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        landmarks = np.where(np.asarray(visible)[:, None, None], landmarks, np.nan)
        landmarks = smooth_landmarks(landmarks * (aspect, 1), segments, times, options.smoothing_strength) / (aspect, 1)
    target = _corrected_template(resolution, options)
    transforms = np.full((len(landmarks), 2, 3), np.nan, np.float32)
    state: np.ndarray | None = None
    for index in np.flatnonzero(visible):
        points = landmarks[index].astype(np.float64)
        if options.round_landmarks:
            points = np.round(points)
        transform, offset = _fit(points * (aspect, 1), target)
        if options.reference_smoothing:
            transform, state = _reference_smoothed(transform, offset, state)
        transform[:, 0] *= aspect
        transforms[index] = transform
    return transforms


def crop_face(
    frame: Frame,
    transform: np.ndarray,
    resolution: int,
    *,
    eight_bit: bool = True,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Cuts the aligned face out of a frame: (3, R, R) float32 RGB in [0, 1]. Converts only the needed part.

    The reference's steps: 8-bit RGB, bilinear warp to `crop_size` with grey beyond the frame, truncated to whole
    levels, 8-bit Lanczos resize to the square. Truncating darkens by half a level on average; with `eight_bit` false
    nothing is rounded, as needed for pixels that are pasted back into a frame.

    The part is warped and resized on `device`, where the crop then lies.

    Raises:
        OptionError: the transform is not finite (the frame has no face) or not invertible.
    """
    width, height = crop_size(resolution)
    inverse = affine.invert(transform)
    roi = affine.bounds(inverse, (0, 0, width - 1, height - 1), (frame.width, frame.height), margin=1)
    if roi is None:
        return torch.full((3, resolution, resolution), BORDER_LEVEL / 255, device=device)
    levels = frame.rgb(roi).to(device) * 255
    return _crop_levels(levels, roi, inverse, resolution, eight_bit=eight_bit) / 255


def _crop_levels(levels: Tensor, roi: Roi, inverse: np.ndarray, resolution: int, *, eight_bit: bool) -> Tensor:
    """The crop of the (3, h, w) part `roi` of a frame, levels 0..255 in and out."""
    width, height = crop_size(resolution)
    if eight_bit:
        levels = levels.round()
    columns, rows = affine.positions(inverse, Roi(0, 0, width, height), levels.device)
    crop = affine.sample(levels - BORDER_LEVEL, columns - roi.x0, rows - roi.y0) + BORDER_LEVEL
    if eight_bit:
        return lanczos4_levels(crop.floor(), (resolution, resolution))
    return lanczos4(crop, (resolution, resolution)).clamp_(0, 255)


def _corrected_template(resolution: int, options: AlignOptions) -> np.ndarray:
    centre = np.array(crop_size(resolution)) / 2
    return (template(resolution) - centre) * options.scale + centre + (0, options.shift_y * centre[1] * 2)


def _reference_smoothed(
    transform: np.ndarray, offset: np.ndarray, state: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Adds the moving average of the nose's offset. As in the reference, normalised units are added to pixels."""
    state = offset if state is None else EMA_DECAY * state + (1 - EMA_DECAY) * offset
    return np.column_stack([transform[:, :2], transform[:, 2] + state]), state


def _fit(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares similarity (2, 3) of (3, 2) points to the target, and the nose's residual (2,) in normalised units.

    The reference computes in float32, which costs its translations 1e-3 of a pixel; float64 costs nothing here.
    """
    points = np.asarray(points, np.float64)
    centre, target_centre = points.mean(0), target.mean(0)
    normal, target_normal = points - centre, target - target_centre
    spread, target_spread = normal.std(ddof=1), target_normal.std(ddof=1)  # of all six numbers
    if not spread > 0:  # NaN too
        raise OptionError(
            f"the three face points {points.tolist()} coincide or aren't finite; mark such a frame as not visible"
        )
    normal, target_normal = normal / spread, target_normal / target_spread
    left, _, right = np.linalg.svd(normal.T @ target_normal)
    if np.linalg.det(right.T @ left.T) < 0:
        right[-1] *= -1  # a rotation, never a mirror image
    linear = target_spread / spread * (right.T @ left.T)
    return np.column_stack([linear, target_centre - linear @ centre]), target_normal[2] - normal[2]
