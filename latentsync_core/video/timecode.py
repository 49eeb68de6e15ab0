"""Counts SMPTE timecodes on by frames: non-drop, and drop-frame of 29.97, 59.94 and 119.88 frames a second."""

from __future__ import annotations

import re
from fractions import Fraction

PATTERN = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})")
DROP_SEPARATORS = ";."
SKIPPED_PER_30 = 2  # frame numbers that a drop-frame minute leaves out, for each 30 frames a second
MINUTES = 24 * 60  # of a day, after which timecodes begin again


def timecode_after(timecode: str, frames: int, fps: Fraction) -> str | None:
    """The timecode `frames` frames after `timecode`, with its own separator; None where it can't be one of `fps`.

    Drop-frame timecodes ("01:00:00;00") skip the first frame numbers of each minute but every tenth, so that they show
    the time of day at 30000/1001 frames a second and its multiples; other rates have none.

    Args:
        frames: 0 or more.
        fps: of the clip; timecodes count at the whole number next to it.
    """
    found = PATTERN.fullmatch(timecode.strip())
    nominal = round(fps)
    if found is None or nominal < 1:
        return None
    hours, minutes, seconds, frame = (int(found[group]) for group in (1, 2, 3, 5))
    is_drop = found[4] in DROP_SEPARATORS
    if frame >= nominal or hours >= 24 or (is_drop and nominal % 30):
        return None
    skipped = SKIPPED_PER_30 * (nominal // 30) if is_drop else 0
    minute_count = hours * 60 + minutes
    number = (minute_count * 60 + seconds) * nominal + frame - skipped * (minute_count - minute_count // 10)
    return _of_frame(number + frames, nominal, skipped, found[4])


def _of_frame(number: int, nominal: int, skipped: int, separator: str) -> str:
    """The timecode of a day's frame; `skipped` numbers are left out in each minute but every tenth."""
    minute = nominal * 60 - skipped  # frames of a minute that skips, and of ten minutes
    ten_minutes = 10 * minute + skipped
    number %= ten_minutes * (MINUTES // 10)
    tens, rest = divmod(number, ten_minutes)
    number += skipped * 9 * tens + skipped * max(0, (rest - skipped) // minute)
    seconds, frame = divmod(number, nominal)
    digits = len(str(max(nominal - 1, 10)))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{frame:0{digits}}"
