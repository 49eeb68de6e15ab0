"""Finds a clip's nominal frame rate from its stamps and from what its file declares."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ....messages import Note, NoteLevel

STILL_IMAGE_FPS = Fraction(25)
MAX_FPS = 1000  # of a sequence
STANDARD_RATES = tuple(
    Fraction(base * thousand, divisor)
    for base in (12, 15, 24, 25, 30, 48, 50, 60, 100, 120)
    for thousand, divisor in ((1, 1), (1000, 1001))
)
RATE_TOLERANCE = 2e-4  # relative; 24 and 24000/1001 lie 1e-3 apart


def detect_fps(pts: np.ndarray, time_base: Fraction, declared: list[Fraction]) -> Fraction:
    """The exact rate of evenly spaced stamps (each may be rounded to a tick or a millisecond), else the average one."""
    if len(pts) == 1:
        return snap_to_standard_rate(declared[0]) if declared else STILL_IMAGE_FPS
    ticks = (pts - pts[0]).astype(np.float64)
    average = (len(pts) - 1) / (int(pts[-1] - pts[0]) * time_base)
    standard = sorted(STANDARD_RATES, key=lambda rate: abs(rate - average))
    candidates = [*map(snap_to_standard_rate, declared), *standard[:2], 1 / (int(pts[1] - pts[0]) * time_base)]
    for rounding in (1.0, max(1.0, float(Fraction(1, 1000) / time_base))):
        for rate in candidates:
            drift = ticks - np.arange(len(pts)) * float(1 / (rate * time_base))
            if np.ptp(drift) <= rounding + 1e-6:
                return rate
    return average.limit_denominator(100_000)


def snap_to_standard_rate(rate: Fraction) -> Fraction:
    """The usual rate that `rate` approximates, or `rate` itself."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= RATE_TOLERANCE * nearest else Fraction(rate)


def is_same_rate(first: Fraction, second: Fraction) -> bool:
    """Whether two rates are one but for rounding, as 23.976 and 24000/1001 are."""
    return abs(first - second) <= RATE_TOLERANCE * second


def rate_text(rate: Fraction) -> str:
    """A rate as people write it: 25, 23.976."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def stated_rate_note(own: Fraction, stated: Fraction | None) -> Note | None:
    """What to say of a rate that was stated for a clip which has one of its own; None where they agree."""
    if stated is None or is_same_rate(stated, own):
        return None
    return Note(
        f"A frame rate of {rate_text(stated)} was stated, but the clip's own is {rate_text(own)}, which counts.",
        NoteLevel.WARNING,
    )
