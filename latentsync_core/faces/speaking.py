"""Who speaks when: segments of speech, each of one face track or of nobody who is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..runs import runs

NOBODY = -1  # in the place of a track


class WhoSpeaks(str, Enum):
    """Whose mouth follows the voice."""

    CHOSEN = "chosen face"  # that of the face choice, all the time
    AUTO = "auto"  # whoever is found speaking in the clip's own sound, while they do


@dataclass(frozen=True)
class SpeakerScore:
    """Why a track was taken for the one who speaks, or not: means over a segment."""

    track: int
    probability: float  # 0 to 1, that this track speaks in the segment
    motion: float | None  # -1 to 1: how the mouth's opening goes with the sound's level; None where it isn't known
    sync: float | None  # SyncNet's cosine in sync less that out of sync, 0 where none stands out; None likewise


@dataclass(frozen=True)
class SpeechSegment:
    """Speech in the clip's frames first..stop-1, and whose it is."""

    first: int
    stop: int
    track: int  # the track that speaks, or NOBODY: off screen, or too uncertain
    confidence: float  # 0 to 1: the probability that `track` speaks here, or that none that is shown does
    scores: tuple[SpeakerScore, ...] = ()  # of every track in these frames, the likeliest first
    speaker: str = ""  # a name from a diarization, where there is one


def speaking_track(segments: Sequence[SpeechSegment], frame_count: int, margin: int = 0) -> np.ndarray:
    """(N,) int32: the track that speaks in each frame of the clip, NOBODY elsewhere.

    Each segment reaches `margin` frames beyond its ends, but no further than half way to a neighbouring one. A pause
    between segments of one track that both reach is bridged.

    Args:
        segments: in order of time; they don't overlap.
    """
    speaking = np.full(frame_count, NOBODY, np.int32)
    stop_before = [0, *(segment.stop for segment in segments)]
    first_after = [*(segment.first for segment in segments[1:]), frame_count]
    for segment, before, after in zip(segments, stop_before, first_after, strict=False):
        if segment.track == NOBODY:
            continue
        room = (segment.first - before + 1) // 2 if before else segment.first
        first = max(segment.first - min(margin, room), 0)
        room = (after - segment.stop + 1) // 2 if after < frame_count else after - segment.stop
        speaking[first : min(segment.stop + min(margin, room), frame_count)] = segment.track
    return speaking


def segment_ranges(speaking: np.ndarray) -> list[tuple[int, int, int]]:
    """The runs (first, stop, track) of an array of `speaking_track`, without those of NOBODY."""
    return [(first, stop, int(speaking[first])) for first, stop in runs(speaking) if speaking[first] != NOBODY]
