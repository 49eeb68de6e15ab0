"""The phases of a job in words: what is done of each, and how long the rest takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum

LEAST_SECONDS = 3.0  # of a phase, before its pace says anything about the rest
LEAST_SHARE = 0.01  # likewise


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
    """

    def __init__(self, phase: Phase, frames: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._phase, self._frames, self._clock = phase, frames, clock
        self._begin: tuple[float, float] | None = None  # seconds and share of the first report

    def line(self, done: int, total: int) -> str:
        """The line for what `on_progress(done, total)` reports."""
        share = min(max(done / max(total, 1), 0.0), 1.0)
        now = self._clock()
        self._begin = self._begin or (now, share)  # a job that is resumed doesn't begin at 0
        amount = f"{int(share * self._frames)} of {self._frames} frames" if self._frames else f"{int(share * 100)} %"
        elapsed, finished = now - self._begin[0], share - self._begin[1]
        if share == 1 or elapsed < LEAST_SECONDS or finished < LEAST_SHARE:
            return f"{self._phase.value}: {amount}"
        return f"{self._phase.value}: {amount}, about {rounded_time(elapsed * (1 - share) / finished)} left"


def rounded_time(seconds: float) -> str:
    """A duration as one says it, rounded up: "40 s", "3 min", "2 h 10 min"."""
    if seconds <= 55:
        return f"{max(5, 5 * math.ceil(seconds / 5))} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    minutes = 10 * math.ceil(minutes / 10)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
