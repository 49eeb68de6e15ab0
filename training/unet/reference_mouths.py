"""Which frame each frame's reference mouth comes from: one nearby whose mouth is closed, as the engine chooses it."""

from __future__ import annotations

import numpy as np

from latentsync_core.sampling.closed_references import closed_frames

from ..takes import FPS

OPENING_ERROR = 0.02  # head units: the standard deviation of what a reading is off by, at most
TURN_ERROR = 1.0  # degrees, likewise


def reference_mouths(openings: np.ndarray, turns: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """(n,) int64 frames of a clip without a cut.

    Args:
        openings: (n,) of the mouth; NaN where it isn't known.
        turns: (n, 2) degrees of yaw and pitch.
        rng: reads both as badly as a face mesh does.
    """
    if rng is not None:
        openings = openings + rng.normal(0, OPENING_ERROR * rng.random(), openings.shape)
        turns = turns + rng.normal(0, TURN_ERROR, turns.shape)
    return closed_frames(openings, turns, np.arange(len(openings)) / FPS, [(0, len(openings))])
