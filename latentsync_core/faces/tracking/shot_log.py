"""Where a clip's shots begin and when that became known, so that its parts can be tracked apart from each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from ...progress import Progress
from ...video.clip import Clip
from ...video.frame import Frame
from ...video.reading.read_ahead import prefetch_frames
from ..face_options import FaceOptions
from .shots import ShotDetector


@dataclass(frozen=True)
class ShotLog:
    """The boundaries of a clip's shots in the order in which the detector reported them.

    The tracker runs a few frames behind the detector and treats a frame by what is known at that time, so a part that
    is tracked alone has to learn of each boundary at the same frame.
    """

    starts: tuple[int, ...]  # first frames of shots except the clip's first one
    known_after: tuple[int, ...]  # the frame after which each was reported; the clip's frame count for the end

    def at(self, frame: int) -> list[int]:
        """The boundaries that are reported once the detector has seen `frame`."""
        return [start for start, known in zip(self.starts, self.known_after, strict=True) if known == frame]

    def cuts(self, ahead: int) -> list[int]:
        """The boundaries at which the tracker, `ahead` frames behind the detector, ends all tracks; ascending.

        Others are dissolves that were reported late: tracks lead through them and are split afterwards.
        """
        known = zip(self.starts, self.known_after, strict=True)
        return sorted({start for start, after in known if after <= start + ahead})


def log_shots(clip: Clip, options: FaceOptions | None = None, on_progress: Progress | None = None) -> ShotLog:
    """Detects the shots of a clip in one pass, without looking for faces.

    Raises:
        VideoError: the clip can't be read, or has changed.
    """
    detector = ShotDetector((options or FaceOptions()).shot_threshold)
    starts, known_after = [], []
    with closing(prefetch_frames(clip)) as frames:
        for _, found, seen in detected_shots(frames, detector, clip.frame_count):
            starts += found
            known_after += [seen] * len(found)
            if on_progress:
                on_progress(min(seen + 1, clip.frame_count), clip.frame_count)
    return ShotLog(tuple(starts), tuple(known_after))


def detected_shots(
    frames: Iterator[Frame], detector: ShotDetector, frame_count: int
) -> Iterator[tuple[Frame | None, Sequence[int], int]]:
    """Each frame with the boundaries that it makes known, and its number; after the last None and those of the end."""
    for frame in frames:
        yield frame, detector.add(frame), frame.index
    yield None, detector.finish(), frame_count


def logged_shots(
    frames: Iterator[Frame], log: ShotLog, first: int, stop: int, ahead: int, frame_count: int
) -> Iterator[tuple[Frame | None, Sequence[int], int]]:
    """As `detected_shots` for the frames first..stop-1 of a clip, and what is known up to `ahead` frames after them."""
    for index in range(first, min(stop + ahead, frame_count)):
        yield (next(frames) if index < stop else None), log.at(index), index
    yield None, log.at(frame_count), frame_count


def tracked_ranges(log: ShotLog, frame_count: int, ahead: int, frames: int) -> list[tuple[int, int]]:
    """Half-open ranges that together cover the clip, each of about `frames` frames and cut at shots only.

    A shot is never divided, since its faces are tracked from frame to frame: a take without a cut is one range.
    """
    ranges, first = [], 0
    for cut in [*log.cuts(ahead), frame_count]:
        if cut - first >= frames or cut == frame_count:
            ranges.append((first, cut))
            first = cut
    if len(ranges) > 1 and ranges[-1][1] - ranges[-1][0] < frames // 2:  # a short rest goes with the range before it
        (start, _), (_, end) = ranges[-2:]
        ranges[-2:] = [(start, end)]
    return ranges
