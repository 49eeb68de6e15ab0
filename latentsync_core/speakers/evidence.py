"""Turns signals into evidence: for every fifth of a second and every mouth, what speaks for its being the speaker's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..runs import runs_where
from .signals import SpeakerSignals, TrackSignals

CELL = 5  # steps of 1/25 s: the unit of evidence and of decisions
REACH = 20  # steps to either side of a cell's middle that its motion is judged by
LAGS = range(-2, 5)  # steps by which the sound may come after the lips
WINDOW = 16  # steps of a SyncNet window
MAX_WINDOW_DISTANCE = 20  # steps from a cell's middle to that of a window which stands in for one that covers it
QUIET_DB, MIN_SPREAD = -60.0, 1e-4  # levels below are silence; openings that spread less don't move
MIN_STEPS = 10  # known openings that motion is judged by
SPEED_FLOOR = 1e-3  # face heights a step
FEATURES = ("sync", "motion", "speed")


@dataclass(frozen=True, eq=False)
class Evidence:
    """C cells of the clip, T tracks; NaN where a track isn't shown, or the quantity isn't known."""

    speech: np.ndarray  # (C,) bool: most of the cell is speech
    shown: np.ndarray  # (C, T) bool: the track is shown in the middle of the cell
    sync: np.ndarray  # (C, T) float64: SyncNet's cosine near offset 0, less the better of those far from it
    motion: np.ndarray  # (C, T) float64, -1 to 1: correlation of the opening with the sound's level
    speed: np.ndarray  # (C, T) float64: logarithm of the opening's mean change, face heights a step

    def features(self) -> np.ndarray:
        """(C, T, len(FEATURES)) float64; what isn't known is what a still mouth out of sync has."""
        speed = np.nan_to_num(self.speed, nan=np.log(SPEED_FLOOR))
        return np.stack([np.nan_to_num(self.sync), np.nan_to_num(self.motion), speed], axis=-1)


def gather_evidence(signals: SpeakerSignals) -> Evidence:
    """The evidence of a whole clip.

    A cell's motion is judged within its track, and within its stretch of speech and the pauses around that: what a
    mouth did in another turn tells nothing of this one, and nothing crosses a cut.
    """
    count = -(-len(signals.speech) // CELL)
    padded = np.pad(signals.speech, (0, count * CELL - len(signals.speech)))
    speech = padded.reshape(count, CELL).mean(1) > 0.5
    shape = (count, len(signals.tracks))
    evidence = Evidence(speech, np.zeros(shape, bool), *(np.full(shape, np.nan) for _ in range(3)))
    between = _around(signals.speech)
    level = np.maximum(signals.level.astype(np.float64), QUIET_DB)
    for number, track in enumerate(signals.tracks):
        stop = track.start + len(track.opening)
        for cell in range(max((track.start - CELL // 2 + CELL - 1) // CELL, 0), count):
            middle = cell * CELL + CELL // 2
            if middle >= stop:
                break
            evidence.shown[cell, number] = True
            if speech[cell]:
                evidence.sync[cell, number] = _sync(track, middle)
                motion, speed = _motion(track, level, middle, *between[middle])
                evidence.motion[cell, number], evidence.speed[cell, number] = motion, speed
    return evidence


def _sync(track: TrackSignals, middle: int) -> float:
    """The mean of the windows that cover a step, or the nearest one's; NaN if that is far."""
    if not len(track.sync_steps):
        return float("nan")
    away = np.abs(track.sync_steps + WINDOW / 2 - middle)
    near = away <= WINDOW / 2 if (away <= WINDOW / 2).any() else away == away.min()
    if away.min() > MAX_WINDOW_DISTANCE:
        return float("nan")
    readings = track.sync[near].astype(np.float64)
    return float((readings[:, 0] - readings[:, 1:].max(1)).mean())


def _around(speech: np.ndarray) -> np.ndarray:
    """(G, 2) int: of each step, the end of the stretch of speech before its own, and the start of the one after it."""
    limits = np.tile((0, len(speech)), (len(speech), 1))
    stretches = runs_where(speech)
    for (_, end), (first, stop) in pairwise([(0, 0), *stretches]):
        limits[first:stop, 0] = end
    for (first, stop), (start, _) in pairwise(stretches):
        limits[first:stop, 1] = start
    return limits


def _motion(track: TrackSignals, level: np.ndarray, middle: int, earliest: int, latest: int) -> tuple[float, float]:
    """The best correlation of opening and level, and the logarithm of the opening's speed; NaN where unknown."""
    first = max(track.start, middle - REACH, earliest)
    stop = min(track.start + len(track.opening), middle + REACH + 1, latest)
    opening = track.opening[first - track.start : stop - track.start].astype(np.float64)
    known = np.isfinite(opening)
    if known.sum() < MIN_STEPS:
        return float("nan"), float("nan")
    changes = np.abs(np.diff(opening))
    speed = float(np.log(np.nanmean(changes) + SPEED_FLOOR)) if np.isfinite(changes).any() else float("nan")
    if opening[known].std() < MIN_SPREAD:
        return 0.0, speed
    best = max(_correlation(opening, level[np.clip(np.arange(first, stop) + lag, 0, len(level) - 1)]) for lag in LAGS)
    return best, speed


def _correlation(opening: np.ndarray, level: np.ndarray) -> float:
    known = np.isfinite(opening)
    one, other = opening[known] - opening[known].mean(), level[known] - level[known].mean()
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size > 0 else 0.0
