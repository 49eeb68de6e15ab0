"""The phases of a job in words: what is done of each, and how long the rest takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum

LEAST_SECONDS = 3.0  # of a phase, before its pace says anything about the rest
LEAST_SHARE = 0.01  # likewise
PACE_SHARE = 0.3  # of a phase, after which its own pace alone counts


class Phase(Enum):
    """What a job does at a time, as a user reads it; the names, in lower case, are those of a `PhaseProgress`."""

    DOWNLOAD = "Downloading"
    CHECK = "Checking the model's files"
    CLIP = "Listing the frames"
    MODEL = "Loading the model"
    FACES = "Finding faces"
    SPEAKERS = "Finding who speaks"
    VOICE = "Analysing the voice"
    SAMPLING = "Generating mouths"
    COMPOSITING = "Writing the video"
    SIGNING = "Signing the video"
    REPORT = "Measuring the result"


def phase_words(name: str) -> str:
    """The words for a phase of a `PhaseProgress`; the name itself where it is none of a job's."""
    return Phase[name.upper()].value if name.upper() in Phase.__members__ else name


class PhaseText:
    """One phase's progress as a line: "Finding faces: 120 of 480 frames, about 2 min left".

    Args:
        phase: what is done.
        frames: how many frames the phase works on; 0 gives a percentage in their place.
        clock: seconds, from any beginning.
        expected: seconds that the phase is expected to take, if that is known: the time left until its own pace tells.
        after: seconds that the phases after it are expected to take; 0 where there is none, or nothing is known.
    """

    def __init__(
        self,
        phase: Phase,
        frames: int = 0,
        clock: Callable[[], float] = time.monotonic,
        expected: float | None = None,
        after: float = 0.0,
    ) -> None:
        self._phase, self._frames, self._clock = phase, frames, clock
        self._expected, self._after = expected, after
        self._begin: tuple[float, float] | None = None  # seconds and share of the first report

    def line(self, done: int, total: int) -> str:
        """The line for what `on_progress(done, total)` reports."""
        share = min(max(done / max(total, 1), 0.0), 1.0)
        now = self._clock()
        self._begin = self._begin or (now, share)  # a job that is resumed doesn't begin at 0
        amount = f"{int(share * self._frames)} of {self._frames} frames" if self._frames else f"{int(share * 100)} %"
        left = time_left(share, share - self._begin[1], now - self._begin[0], self._expected)
        line = f"{self._phase.value}: {amount}"
        if share == 1 or left is None:
            return line
        line += f", about {rounded_time(left)} left"
        return f"{line}, {rounded_time(left + self._after)} with what follows" if self._after else line


def time_left(share: float, finished: float, elapsed: float, expected: float | None) -> float | None:
    """The seconds that a phase still takes; None while nothing tells.

    The more of it is done, the more its own pace counts against what was expected.

    Args:
        share: of the phase that is done, 0 to 1.
        finished: the part of that which took `elapsed` seconds: less than `share` where a job was resumed.
        expected: the seconds that all of the phase was expected to take; None where that isn't known.
    """
    by_pace = None if elapsed < LEAST_SECONDS or finished < LEAST_SHARE else elapsed * (1 - share) / finished
    if expected is None:
        return by_pace
    by_expectation = expected * (1 - share)
    if by_pace is None:
        return by_expectation
    weight = min(finished / PACE_SHARE, 1.0)
    return weight * by_pace + (1 - weight) * by_expectation


def rounded_time(seconds: float) -> str:
    """A duration as one says it, rounded up: "40 s", "3 min", "2 h 10 min"."""
    if seconds <= 55:
        return f"{max(5, 5 * math.ceil(seconds / 5))} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    minutes = 10 * math.ceil(minutes / 10)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
