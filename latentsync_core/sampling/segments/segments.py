"""A clip's output frames parted by its lines of dialogue: the ranges, and the settings that each is sampled with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ...audio.pause_options import PauseBehaviour
from ...dubbing.lines.dialogue import DialogueLine, LineSettings
from ...errors import OptionError
from ..sampler_options import SamplerOptions

TIME_TOLERANCE = 1e-3  # seconds: subtitles round a frame's time to milliseconds
MAX_SEGMENT_SECONDS = 28.0  # seconds: with its margins and the silence after it, a segment's sound is 30 s at most


@dataclass(frozen=True)
class Segment:
    """Output frames start..stop-1: those of a line, of a part of one, or between two lines."""

    start: int
    stop: int
    line: int | None  # counted from 1; None between lines
    options: SamplerOptions
    pauses: PauseBehaviour
    enabled: bool = True  # False: its frames are left unchanged


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments in order, together all F output frames. No window spans two, and none depends on another's sound."""

    segments: tuple[Segment, ...]

    @cached_property
    def numbers(self) -> np.ndarray:
        """(F,) int64: the place in `segments` of every frame's."""
        return np.repeat(np.arange(len(self.segments)), [one.stop - one.start for one in self.segments])

    @cached_property
    def enabled(self) -> np.ndarray:
        """(F,) bool: the frames that may be synced."""
        return np.array([one.enabled for one in self.segments])[self.numbers]

    @property
    def starts(self) -> frozenset[int]:
        """The first frame of every segment."""
        return frozenset(one.start for one in self.segments)

    def where(self, pauses: PauseBehaviour) -> np.ndarray:
        """(F,) bool: the frames in whose pauses the mouth does that."""
        return np.array([one.pauses is pauses for one in self.segments])[self.numbers]


def plan_segments(
    lines: Sequence[DialogueLine],
    times: np.ndarray,
    frame_seconds: float,
    options: SamplerOptions,
    pauses: PauseBehaviour = PauseBehaviour.MODEL,
) -> Segments:
    """Parts output frames by lines. The ranges depend on the lines' times alone, never on their settings.

    A line begins with the first frame shown at its start or later. Of two that overlap the later one has the frames
    from its start on. A pause too short for a window of its own is shared by the lines before and after it, half each;
    a longer one is a segment with the job's settings. Segments longer than MAX_SEGMENT_SECONDS are parted evenly.

    Args:
        lines: in order, their times counted as `times` are.
        times: (F,) seconds, rising.
        frame_seconds: how long the last frame is shown.
        options: the job's; a line's settings take their place.
        pauses: likewise.

    Raises:
        OptionError: a setting is out of its range; or `options` reproduce upstream, which samples windows in sequence.
    """
    each = options_of_lines(lines, options)
    line_of_frame = _share_short_pauses(_lines_of_frames(lines, times), options.windows.frames)
    ends = np.append(times[1:], times[-1] + frame_seconds)
    segments = []
    changes = np.flatnonzero(np.diff(line_of_frame)) + 1
    for start, stop in zip([0, *changes.tolist()], [*changes.tolist(), len(times)], strict=True):
        number = int(line_of_frame[start])
        settings = LineSettings() if number < 0 else lines[number].settings
        parts = min(math.ceil((ends[stop - 1] - times[start]) / MAX_SEGMENT_SECONDS), stop - start)
        cuts = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
        segments += [
            Segment(
                first,
                last,
                None if number < 0 else number + 1,
                options if number < 0 else each[number],
                settings.pauses or pauses,
                settings.enabled,
            )
            for first, last in pairwise(cuts)
        ]
    return Segments(tuple(segments))


def options_of_lines(lines: Sequence[DialogueLine], options: SamplerOptions) -> list[SamplerOptions]:
    """`options` with each line's settings in their place. Raises OptionError as `plan_segments` does."""
    if options.reference and lines:
        raise OptionError("upstream's own sampling draws one window after the other; it can't sample by lines")
    each = []
    for number, line in enumerate(lines, 1):
        seed, expression = line.settings.seed, line.settings.expression
        try:
            own = dataclasses.replace(
                options,
                seed=options.seed if seed is None else seed,
                expression=options.expression if expression is None else expression,
            )
        except OptionError as problem:
            raise OptionError(f"line {number}: {problem.fact}") from None
        each.append(own)
    return each


def _lines_of_frames(lines: Sequence[DialogueLine], times: np.ndarray) -> np.ndarray:
    """(F,) the index of each frame's line, -1 between lines."""
    line_of_frame = np.full(len(times), -1)
    for number, line in enumerate(lines):
        first, stop = np.searchsorted(times, [float(line.start) - TIME_TOLERANCE, float(line.end) - TIME_TOLERANCE])
        line_of_frame[first:stop] = number
    return line_of_frame


def _share_short_pauses(line_of_frame: np.ndarray, least: int) -> np.ndarray:
    """`line_of_frame` with pauses of fewer than `least` frames given to their neighbours."""
    shared, frames = line_of_frame.copy(), len(line_of_frame)
    changes = np.flatnonzero(np.diff(line_of_frame)) + 1
    for start, stop in zip([0, *changes.tolist()], [*changes.tolist(), frames], strict=True):
        if line_of_frame[start] >= 0 or stop - start >= least or stop - start == frames:
            continue
        middle = start if start == 0 else stop if stop == frames else (start + stop + 1) // 2
        shared[start:middle] = line_of_frame[start - 1]
        shared[middle:stop] = line_of_frame[min(stop, frames - 1)]
    return shared
