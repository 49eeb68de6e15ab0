"""Contours made steady over the frames of a shot, a few of them ahead, so that memory doesn't grow with the clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PEAK = 2  # frames before and after, of which a contour takes the largest: it opens before the mouth does
SMOOTH = 3  # frames before and after, over which those are averaged
AHEAD = PEAK + SMOOTH  # frames that must be known beyond the one that is wanted
MISSING_WEIGHT = 0.05  # of a frame without a contour, relative to one with: its own is the usual one


def steady_contour(contours: Sequence[np.ndarray | None], at: int, usual: np.ndarray) -> np.ndarray:
    """The contour of frame `at` of `contours`, consecutive frames of one face; (DIRECTIONS,) float64.

    A running maximum, then a mean weighted by a Hann window: the edge never lies inside of what moves, and moves little
    itself. Where no contour is known it passes gradually to the usual one.
    """
    total, weights = np.zeros_like(usual), 0.0
    for frame in range(max(at - SMOOTH, 0), min(at + SMOOTH + 1, len(contours))):
        near = contours[max(frame - PEAK, 0) : frame + PEAK + 1]
        known = [contour for contour in near if contour is not None]
        weight = np.cos((frame - at) / (SMOOTH + 1) * np.pi / 2) ** 2
        if known:
            weight *= len(known) / len(near)
            total += weight * np.max(known, axis=0)
        else:
            weight *= MISSING_WEIGHT
            total += weight * usual
        weights += weight
    return total / weights
