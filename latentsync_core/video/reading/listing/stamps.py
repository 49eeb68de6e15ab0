"""Mends the presentation stamps of frames that are sound: missing ones, equal ones, clocks that run backwards.

Frames come as a decoder shows them; their order is right whatever their stamps say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ....messages import Note, NoteLevel

NO_STAMP = -(1 << 63)  # in an array of stamps: the file has none
MAX_LATE_FRAMES = 8  # in a row, before the clock is taken for a restarted one rather than for a few wrong stamps
MAX_PAUSE_SECONDS = 10  # in formats whose clock may restart: more is a jump of the clock, as for ffmpeg
MAX_STAMP = 1 << 52  # ticks either way, 52 days in nanoseconds; what lies beyond is no time of a film
MAX_STEP = 1 << 40  # ticks a frame
MAX_REFINEMENT = 1000  # of a tick, to make room for frames between two stamps


@dataclass(frozen=True, eq=False)
class Stamps:
    """Stamps that rise strictly."""

    pts: np.ndarray  # (N,) int64 ticks
    time_base: Fraction  # seconds per tick
    notes: tuple[Note, ...]


def mend_stamps(
    found: Sequence[int | None], time_base: Fraction, rate: Fraction, clock_may_restart: bool = False
) -> Stamps:
    """The stamps of frames in their order: kept where they are sound, the nominal rate where there are none.

    Args:
        found: (N,), in the file's ticks; None where the file has no stamp.
        rate: nominal frames a second.
        clock_may_restart: whether the format is one of recordings (MPEG-TS, MPEG-PS), which are joined byte by byte.
    """
    known = np.array([stamp is not None for stamp in found])
    if not known.any():
        return _at_rate(len(found), rate)
    stamps = np.array([0 if stamp is None else max(stamp, -MAX_STAMP - 1) for stamp in found], np.int64)
    notes = []
    if not known.all():
        notes.append(_missing_note(known, rate))
    rising = np.diff(stamps[known])
    rising = rising[rising > 0]
    step = int(np.median(rising)) if len(rising) else max(1, round(1 / (rate * time_base)))
    if np.abs(stamps).max() > MAX_STAMP or step > MAX_STEP:
        return _at_rate(len(found), rate)
    pause = round(MAX_PAUSE_SECONDS / time_base) if clock_may_restart else None
    own, jumps = _continued(stamps[known], step, pause)
    if jumps:
        frame = int(np.flatnonzero(known)[jumps[0]])
        more = f", and {len(jumps) - 1} more times" if len(jumps) > 1 else ""
        notes.append(
            _warning(
                f"The file's clock jumps at frame {frame}{more}, as in recordings that were joined: the frames follow "
                f"each other without a pause."
            )
        )
    stamps = _filled(own, known, step)
    factor = _refinement(stamps)
    if factor > MAX_REFINEMENT or (int(np.abs(stamps).max()) + len(stamps)) * factor > 1 << 62:
        return _at_rate(len(found), rate)
    late = np.flatnonzero(stamps[1:] <= np.maximum.accumulate(stamps)[:-1]) + 1
    if len(late):
        which = f"Frame {late[0]} has" if len(late) == 1 else f"{len(late)} frames, from frame {late[0]} on, have"
        notes.append(_warning(f"{which} no later time than the frame before: shown right after it."))
    return Stamps(_strictly_rising(stamps * factor), time_base / factor, tuple(notes))


def _continued(stamps: np.ndarray, step: int, pause: int | None) -> tuple[np.ndarray, list[int]]:
    """Stamps whose clock never restarts, and at which of them it did. One that is late but catches up stays late."""
    out, jumps = stamps.copy(), []
    shift, highest = 0, int(stamps[0])
    for index in range(1, len(stamps)):
        stamp = int(stamps[index]) + shift
        ahead = pause is not None and stamp - highest > pause
        if ahead and index + 1 < len(stamps):  # a lone stamp far ahead would take the others with it
            ahead = int(stamps[index + 1]) + shift > highest + step * MAX_LATE_FRAMES
        if ahead or (stamp < highest and _is_restart(stamps[index:] + shift, highest)):
            shift += highest + step - stamp
            stamp = highest + step
            jumps.append(index)
        out[index] = stamp
        highest = max(highest, stamp)
    return out, jumps


def _is_restart(following: np.ndarray, highest: int) -> bool:
    """Whether a clock that fell behind `highest` stays behind."""
    window = following[:MAX_LATE_FRAMES]
    return len(window) > 1 and bool((window <= highest).all())


def _filled(own: np.ndarray, known: np.ndarray, step: int) -> np.ndarray:
    """Stamps for all frames: between known ones evenly, before the first and after the last one at the nominal rate."""
    places, index = np.flatnonzero(known), np.arange(len(known))
    filled = np.zeros(len(known), np.int64)
    filled[known] = own
    for gap in np.flatnonzero(np.diff(places) > 1):
        first, last = int(places[gap]), int(places[gap + 1])
        inner = index[first + 1 : last]
        filled[inner] = own[gap] + (inner - first) * int(own[gap + 1] - own[gap]) // (last - first)
    before, after = index < places[0], index > places[-1]
    filled[before] = own[0] - (places[0] - index[before]) * step
    filled[after] = own[-1] + (index[after] - places[-1]) * step
    return filled


def _refinement(stamps: np.ndarray) -> int:
    """Into how many parts a tick must be divided so that frames of one stamp find room before the next one."""
    highest = np.maximum.accumulate(stamps)
    anchors = np.flatnonzero(np.diff(highest, prepend=highest[0] - 1) > 0)  # frames later than all before
    counts, gaps = np.diff(anchors), np.diff(stamps[anchors])
    return int(np.max(-(-counts // gaps), initial=1))


def _strictly_rising(stamps: np.ndarray) -> np.ndarray:
    """Each stamp moved to a tick after the one before, where it isn't later."""
    index = np.arange(len(stamps))
    return np.maximum.accumulate(stamps - index) + index


def _at_rate(count: int, rate: Fraction) -> Stamps:
    note = _warning(f"The file has no times of its frames: they are shown at {rate_text(rate)} frames a second.")
    return Stamps(np.arange(count, dtype=np.int64), 1 / rate, (note,))


def _missing_note(known: np.ndarray, rate: Fraction) -> Note:
    missing = np.flatnonzero(~known)
    what = f"frame {missing[0]}" if len(missing) == 1 else f"{len(missing)} frames, from frame {missing[0]} on"
    return _warning(f"The file has no time for {what}: set evenly, at {rate_text(rate)} frames a second.")


def rate_text(rate: Fraction) -> str:
    """A frame rate as editors write it: 25, 23.976."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def _warning(fact: str) -> Note:
    return Note(fact, NoteLevel.WARNING)
