"""Which of a file's audio tracks make a sound."""

from __future__ import annotations

from enum import Enum


class TrackChoice(Enum):
    """Which of a file's audio tracks make a sound."""

    FIRST = "first"  # the first that can be decoded
    ALL = "all"  # the average of all that can be decoded, such as a broadcast master's mono tracks
