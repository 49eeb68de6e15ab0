"""Temporal smoothing of the three face points without lag: crops don't jitter and still follow the head.

Speech moves a mesh's brows and nose by a hundredth of the face for one or two tenths of a second. Averaging over a few
seconds removes that, but would flatten a nod. Each frame therefore gets the widest window whose estimate agrees with
those of all narrower ones within the noise: the intersection of confidence intervals (Goldenshluger and Nemirovski
1997) with local polynomials. Smoothing applies to the position, size, angle and shape of the points' triangle rather
than to coordinates, since speech disturbs the size most.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PolynomialWindow(NamedTuple):
    """A local polynomial: its window, its degree and the ridge penalty on its slope."""

    half_width: float  # seconds
    degree: int
    slope_ridge: float = 0.0


# From the narrowest to the widest: curves for a moving head, constants for a still one.
WINDOWS = (
    *(PolynomialWindow(half_width, 2) for half_width in (0.16, 0.24, 0.36, 0.52)),
    *(PolynomialWindow(half_width, 1, 0.5) for half_width in (0.52, 0.8, 1.28, 2.0, 3.0)),
    PolynomialWindow(4.4, 0),
)
# Standard deviations of a mesh's points caused by speech: position x and y (brow distances), log size, angle (radians).
SPEECH_NOISE = np.array([0.004, 0.004, 0.019, 0.009])
SPEECH_NOISE_SECONDS = 0.12  # seconds: its correlation time
MIN_SPEECH_NOISE_RATIO = 1.0  # the lowest ratio of it to the noise from frame to frame, which is large on small faces
MAX_FRAME_NOISE = 0.01  # brow distances or radians between frames: more is movement
CONFIDENCE_DEVIATIONS = 2.5  # standard deviations within which two windows agree
WIDTH_SMOOTHING_SECONDS = 0.13  # the window width is the minimum over these, then the mean: no steps
MAX_GLITCH_FRAMES = 3  # consecutive frames of a glitch, at most: the points jump away and back
MIN_GLITCH_JUMP = 0.04  # brow distances or radians, at least
MIN_GLITCH_RATIO = 3.0  # to the points' movement before, after and across it
MIN_TRIANGLE_SIZE = 1e-6  # pixels: smaller ones are degenerate
BLOCK = 20000  # frames that are smoothed together

# The reference triangle of brows and nose, whose similarity transforms are separated from changes of shape.
_FACE = np.array([-20.5 - 20j / 3, 20.5 - 20j / 3, 40j / 3])
_FACE = _FACE / np.linalg.norm(_FACE)
_OTHER = np.conj(np.cross(np.ones(3), _FACE)) / np.sqrt(
    3
)  # completes the basis: every centred triangle is a sum of the two
_BROWS = abs(_FACE[1] - _FACE[0])  # distance between the brows in a triangle of size 1


def smooth_landmarks(
    landmarks: np.ndarray, segments: Sequence[tuple[int, int]], times: np.ndarray, strength: float = 1.0
) -> np.ndarray:
    """Smooths three points per frame (N, 3, 2), in square pixels, within each segment: (N, 3, 2) float64.

    Segments are half-open ranges of frames, ascending and disjoint; smoothing doesn't cross their ends. Frames outside
    of them are unchanged, and so are those whose points aren't finite or coincide. `times` (N,) are in seconds and
    strictly ascending. `strength` scales the expected noise: 0 changes nothing; higher values make crops steadier, but
    slower to follow small movements.
    """
    smoothed = np.array(landmarks, np.float64)
    usable = np.all(np.isfinite(smoothed), axis=(1, 2))
    usable[usable] = np.ptp(smoothed[usable], axis=1).max(1) > MIN_TRIANGLE_SIZE
    parts = [first + np.flatnonzero(usable[first:stop]) for first, stop in segments]
    parts = [part for part in parts if len(part) > 1]
    while strength > 0 and parts:
        count = max(1, int(np.searchsorted(np.cumsum([len(part) for part in parts]), BLOCK)))
        block, parts = parts[:count], parts[count:]
        frames = np.concatenate(block)
        ends = np.cumsum([0, *(len(part) for part in block)])
        smoothed[frames] = _compose(
            _smooth(_decompose(smoothed[frames]), ends, np.asarray(times, np.float64)[frames], strength)
        )
    return smoothed


def _decompose(points: np.ndarray) -> np.ndarray:
    """(n, 3, 2) points as (6, n): the centre's x and y, log size, angle, and two numbers for the shape."""
    places = points[..., 0] + 1j * points[..., 1]
    centre = places.mean(1)
    turned, odd = (places - centre[:, None]) @ _FACE.conj(), (places - centre[:, None]) @ _OTHER.conj()
    # A mirror image has no angle.
    turned = np.where(np.abs(turned) > MIN_TRIANGLE_SIZE * np.abs(odd), turned, MIN_TRIANGLE_SIZE)
    size = np.log(np.hypot(np.abs(turned), np.abs(odd)))
    shape = odd / turned
    return np.stack([centre.real, centre.imag, size, np.unwrap(np.angle(turned)), shape.real, shape.imag])


def _compose(numbers: np.ndarray) -> np.ndarray:
    """The inverse of `_decompose`: (6, n) numbers → (n, 3, 2) points."""
    x, y, size, angle, *shape = numbers
    odd = shape[0] + 1j * shape[1]
    turned = np.exp(size + 1j * angle) / np.hypot(1, np.abs(odd))
    places = (x + 1j * y)[:, None] + turned[:, None] * (_FACE + odd[:, None] * _OTHER)
    return np.stack([places.real, places.imag], -1)


def _smooth(raw: np.ndarray, ends: np.ndarray, times: np.ndarray, strength: float) -> np.ndarray:
    """Smooths (6, n) numbers; segment i is ends[i]..ends[i + 1]-1."""
    times, rate = _separate_segments(times, ends)
    brows = np.exp(raw[2]) * _BROWS
    unit = np.stack([brows, brows, *np.ones((2, raw.shape[1]))])  # of place, size and angle
    raw = _remove_glitches(raw, unit, ends)
    noise = _noise(raw[:4], unit, ends)
    speech_noise = np.maximum(SPEECH_NOISE[:, None] * unit, MIN_SPEECH_NOISE_RATIO * noise)
    correlated_frames = 1 + 2 * SPEECH_NOISE_SECONDS * rate  # frames over which speech noise is correlated

    estimates = np.empty((1 + len(WINDOWS), *raw.shape))
    low, high = np.full_like(unit, -np.inf), np.full_like(unit, np.inf)
    agreed = np.ones(raw.shape[1], bool)
    level = np.full(raw.shape[1], -1.0)
    for index, window in enumerate((None, *WINDOWS)):
        estimates[index], share = (
            (raw, np.ones(raw.shape[1])) if window is None else _fit_local_polynomials(raw, times, window)
        )
        spread = np.sqrt(
            noise**2 * share + speech_noise**2 * (correlated_frames * share / (1 + (correlated_frames - 1) * share))
        )
        margin = CONFIDENCE_DEVIATIONS * strength * spread
        low, high = np.maximum(low, estimates[index][:4] - margin), np.minimum(high, estimates[index][:4] + margin)
        agreed &= (low <= high).all(0)  # one window for all numbers: a moving head changes several
        level += agreed

    level = _windowed(level, times, WIDTH_SMOOTHING_SECONDS, np.minimum)
    level = _windowed(level, times, WIDTH_SMOOTHING_SECONDS, np.add) / _windowed(
        np.ones_like(level), times, WIDTH_SMOOTHING_SECONDS, np.add
    )
    below = np.minimum(level.astype(int), len(WINDOWS) - 1)
    part = level - below
    lower, upper = (np.take_along_axis(estimates, (below + k)[None, None], 0)[0] for k in (0, 1))
    return lower + part * (upper - lower)


def _separate_segments(times: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times with the segments shifted so that no window spans two of them; and (n,) frames per second."""
    firsts, lasts = times[ends[:-1]], times[ends[1:] - 1]
    lengths = np.diff(ends)
    starts = np.cumsum([0, *(lasts - firsts + 2 * WINDOWS[-1].half_width)[:-1]])
    rate = (lengths - 1) / np.maximum(lasts - firsts, 1e-6)
    return times + np.repeat(starts - firsts, lengths), np.repeat(rate, lengths)


def _fit_local_polynomials(
    values: np.ndarray, times: np.ndarray, window: PolynomialWindow
) -> tuple[np.ndarray, np.ndarray]:
    """The local polynomial of (C, n) values at each frame, and (n,) the remaining fraction of white noise's variance.

    Weights are (1 - u²)² of the distance in half widths. The ridge penalty applies to all terms except the constant.
    """
    count, terms = len(times), window.degree + 1
    weights, squares = np.zeros((2 * terms - 1, count)), np.zeros((2 * terms - 1, count))
    sums = np.zeros((terms, *values.shape))
    for offset in _offsets(times, window.half_width):
        here, there = _pair(offset, count)
        away = (times[there] - times[here]) / window.half_width
        weight = np.maximum(1 - away**2, 0) ** 2
        power = weight.copy()
        for k in range(2 * terms - 1):
            weights[k, here] += power
            squares[k, here] += power * weight
            if k < terms:
                sums[k, :, here] += power * values[:, there]
            power *= away
    rows = np.add.outer(np.arange(terms), np.arange(terms))
    normal = weights[rows].transpose(2, 0, 1)
    ridge = np.full(terms, window.slope_ridge)
    ridge[0] = 0
    normal = normal + np.eye(terms) * (1e-9 + ridge * weights[0][:, None, None])
    first = np.zeros((count, terms, 1))
    first[:, 0] = 1
    solved = np.linalg.solve(normal, first)[..., 0]
    share = np.einsum("na,abn,nb->n", solved, squares[rows], solved)
    return np.einsum("nk,kcn->cn", solved, sums), share


def _windowed(values: np.ndarray, times: np.ndarray, half_width: float, combine: np.ufunc) -> np.ndarray:
    """(n,) values combined over all frames within `half_width` seconds."""
    out = values.copy()
    for offset in _offsets(times, half_width):
        if offset:
            here, there = _pair(offset, len(times))
            near = np.abs(times[there] - times[here]) <= half_width
            out[here] = np.where(near, combine(out[here], values[there]), out[here])
    return out


def _offsets(times: np.ndarray, half_width: float) -> range:
    """The frame offsets that frames within `half_width` seconds can have."""
    most = int((np.searchsorted(times, times + half_width, "right") - np.arange(len(times))).max()) - 1
    return range(-most, most + 1)


def _pair(offset: int, count: int) -> tuple[slice, slice]:
    """Slices of the frames that have a neighbour `offset` frames away, and of those neighbours."""
    return slice(max(0, -offset), count - max(0, offset)), slice(max(0, offset), count - max(0, -offset))


def _noise(values: np.ndarray, unit: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(4, n) standard deviation of each segment's noise between frames, by the median of its fourth differences."""
    noise = np.zeros_like(unit)
    for first, stop in itertools.pairwise(ends):
        if stop - first > 8:
            # Nods hardly contribute to fourth differences.
            fourth = np.abs(np.diff(values[:, first:stop], n=4)) / unit[:, first + 2 : stop - 2]
            usual = np.median(fourth, 1, keepdims=True) / 0.6745 / np.sqrt(70)  # of normal noise
            noise[:, first:stop] = np.minimum(usual, MAX_FRAME_NOISE) * unit[:, first:stop]
    return noise


def _remove_glitches(values: np.ndarray, unit: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(6, n) values, linearly interpolated across a few frames in which the points jump away and back."""
    values = values.copy()
    count = values.shape[1]
    segment = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    for length in range(1, MAX_GLITCH_FRAMES + 1):
        last = np.arange(1, count - length - 2)  # the frame before a glitch
        last = last[segment[last - 1] == segment[last + length + 2]]
        left, right = values[:, last], values[:, last + length + 1]
        jump = np.full((4, len(last)), np.inf)
        for k in range(1, length + 1):
            line = left + (right - left) * k / (length + 1)
            jump = np.minimum(jump, np.abs(values[:, last + k] - line)[:4])
        usual = np.abs(right - left)
        usual = np.maximum(usual, np.abs(left - values[:, last - 1]))
        usual = np.maximum(usual, np.abs(values[:, last + length + 2] - right))[:4]
        bad = (jump > np.maximum(MIN_GLITCH_JUMP * unit[:, last], MIN_GLITCH_RATIO * usual)).any(0)
        for k in range(1, length + 1):
            values[:, last[bad] + k] = (left + (right - left) * k / (length + 1))[:, bad]
    return values
