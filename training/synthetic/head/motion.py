"""How a head moves, looks and blinks while it lives: smooth seeded functions of time, so at any frame rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_ANGLE = np.radians(25)  # of every angle, unless yaw may go further
BLINK_CLOSING_SECONDS = 0.11  # seconds from open to shut; opening takes half as long again
MEAN_FIXATION_SECONDS = 1.4  # seconds that a look lasts on average


@dataclass(frozen=True)
class Path:
    """Where a head goes: from one place to another over a shot, in fractions of the frame; sizes in frame heights."""

    start: tuple[float, float] = (0.5, 0.52)  # x, y of the head's origin (between the eyes and the nose)
    end: tuple[float, float] = (0.5, 0.52)
    size_start: float = 0.30  # a head unit
    size_end: float = 0.30


class HeadMotion:
    """Angles, drift, gaze and blinks of one seed. `amplitude` scales all but the blinks; 0 holds the head still.
    `facing` is the mean yaw, pitch and roll in radians, `max_yaw` the furthest that the head is turned."""

    def __init__(
        self,
        seed: int,
        seconds: float,
        amplitude: float = 1.0,
        facing: tuple[float, float, float] = (0, 0, 0),
        max_yaw: float = MAX_ANGLE,
    ):
        rng = np.random.default_rng((141650939, seed))
        self._facing = np.array(facing)
        self._limits = np.array([max_yaw, MAX_ANGLE, MAX_ANGLE])
        self._reach = (
            np.array([0.20, 0.10, 0.08, 0.06, 0.04, 0.05]) * amplitude * rng.uniform(0.4, 1.3, 6)
        )  # yaw … size
        self._frequencies = rng.uniform(0.08, 0.75, (6, 4))  # Hz
        self._phase = rng.uniform(0, 2 * np.pi, (6, 4))
        self._weight = rng.dirichlet(np.full(4, 1.5), 6)
        self._gazes = rng.uniform(
            (-0.28, -0.10), (0.28, 0.12), (max(2, int(seconds / MEAN_FIXATION_SECONDS) + 2), 2)
        ) * min(amplitude, 1)
        self._gaze_changes = np.cumsum(rng.exponential(MEAN_FIXATION_SECONDS, len(self._gazes)))
        self._blinks = np.cumsum(rng.uniform(1.2, 5.5, max(2, int(seconds / 1.2) + 2)))
        self._brow = rng.uniform(0.0, 0.03) * amplitude

    def angles(self, time: float) -> tuple[float, float, float]:
        """Yaw, pitch and roll in radians."""
        values = self._facing + self._oscillation(time)[:3]
        return tuple(float(v) for v in np.clip(values, -self._limits, self._limits))

    def drift(self, time: float) -> tuple[float, float, float]:
        """By how many head units the head sways right and down, and by which factor its size differs."""
        x, y, size = self._oscillation(time)[3:]
        return float(x), float(y), float(np.exp(size))

    def gaze(self, time: float) -> tuple[float, float]:
        """Where the eyes look, in eye widths right and down."""
        index = min(int(np.searchsorted(self._gaze_changes, time)), len(self._gazes) - 1)
        before = self._gazes[max(index - 1, 0)]
        since = time - (self._gaze_changes[index - 1] if index else -1.0)
        part = float(np.clip(since / 0.06, 0, 1))
        x, y = before + part * (self._gazes[index] - before)
        return float(x), float(y)

    def blink(self, time: float) -> float:
        """0 open to 1 shut."""
        away = time - self._blinks
        shut = np.where(away < 0, 1 + away / BLINK_CLOSING_SECONDS, 1 - away / (1.5 * BLINK_CLOSING_SECONDS))
        t = float(np.clip(shut.max(), 0, 1))
        return t * t * (3 - 2 * t)

    def brows(self, time: float) -> float:
        """Head units that the brows are raised."""
        return float(self._brow * (1 + self._oscillation(time * 1.7)[1] / 0.1))

    def _oscillation(self, time: float) -> np.ndarray:
        return self._reach * (self._weight * np.sin(2 * np.pi * self._frequencies * time + self._phase)).sum(1) * 1.6
