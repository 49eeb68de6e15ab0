"""Tracks marked faces: between their marks, before the first and after the last.

Frames are decoded once forwards and, where a face is tracked backwards, a second time in segments from the shot's end
to its start. Of a segment only the reduced brightness is held, at most MAX_BUFFERED_BYTES, so memory grows with the
clip only by each frame's points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from ...imaging import affine
from ...progress import Progress
from ...video.clip import Clip
from ...video.frame import Frame
from ...video.reading.reader import FrameReader
from ..alignment.align import align_track, crop_face
from ..tracks import PORTRAIT_SIZE, FaceTrack, blank_portrait
from .marks import Mark
from .patch_tracker import GRID, PatchTracker, Pyramid, downsampled_luma

# The part of a face's box that is tracked, in fractions of it: brows, eyes and nose. Mouth, chin and outline move
# independently: on seven rendered clips the landmarks' error was 1.6 % of the eye distance, with the whole box 3.2 %.
TRACKED_PART = (0.12, 0.05, 0.88, 0.70)
MAX_BUFFERED_BYTES = 64 * 2**20  # of reduced brightness, held while tracking backwards
BYTES_PER_SAMPLE = 2  # float16
MAX_SAMPLES = 2_000_000  # of a frame's reduced brightness: very small faces in very large frames are tracked coarsely
MAX_MISSED_FRAMES = 8  # frames for which a face that isn't found is searched near its last position


@torch.inference_mode()
def track_marked_faces(
    clip: Clip, marks: Sequence[Mark], shots: Sequence[tuple[int, int]], on_progress: Progress | None = None
) -> list[FaceTrack]:
    """The marked faces as tracks with `by_hand` set: one per face and shot, and another one after each "gone" mark.

    A mark applies within its shot. In a marked frame the face lies exactly as marked. Between two marks it is tracked
    from both and crossfaded; where neither tracker finds it, it is interpolated. Before a shot's first mark and after
    its last one it is tracked until it is lost or the shot ends. A "gone" mark ends the track; tracking backwards from
    the next mark stops there.

    Args:
        marks: of `read_marks`, in any order.
        shots: half-open ranges of frames.

    Returns: tracks in the order of their frames, `track_id` being their place in this list and `person` the number of
    the face; poses are 0 and sharpness 1, as neither is known.

    Raises:
        VideoError: the clip can't be read, or has changed.
    """
    paths = [path for shot in shots for path in _marked_tracks(marks, shot)]
    passes = [_Pass(clip, group, forwards) for group in _by_shot(paths, shots) for forwards in (True, False)]
    total, before = sum(one.count for one in passes), 0
    for one in passes:
        for done in one.run():
            if on_progress:
                on_progress(before + done, total)
        before += one.count
    paths.sort(key=lambda path: (path.first, path.face))
    return [path.track(number, float(clip.sample_aspect)) for number, path in enumerate(paths)]


@dataclass(eq=False)
class _Observations:
    """A face's positions found by tracking in one direction of time, over the frames of a _MarkedTrack."""

    points: np.ndarray  # (n, 3, 2) float32 displayed pixels; NaN where it wasn't found
    boxes: np.ndarray  # (n, 4) float32

    @classmethod
    def none(cls, count: int) -> _Observations:
        return cls(np.full((count, 3, 2), np.nan, np.float32), np.full((count, 4), np.nan, np.float32))

    def flat(self) -> np.ndarray:
        """(n, 10): points and boxes side by side."""
        return np.concatenate([self.points.reshape(-1, 6), self.boxes], axis=1)


@dataclass(eq=False)
class _MarkedTrack:
    """One marked face in one shot, in the frames first..stop-1 where it may be visible."""

    face: int
    first: int
    stop: int
    marks: dict[int, Mark]  # by frame; at least one
    portrait: np.ndarray = field(default_factory=blank_portrait)  # (PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8
    has_portrait: bool = False  # once the forward pass has read the first mark's frame
    seen: dict[bool, _Observations] = field(default_factory=dict)  # by whether it was tracked forwards

    def __post_init__(self) -> None:
        self.seen = {forwards: _Observations.none(self.stop - self.first) for forwards in (True, False)}

    def track(self, number: int, aspect: float) -> FaceTrack:
        rows = self._combined(aspect)
        there = np.flatnonzero(np.isfinite(rows[:, 0]))
        rows = rows[there[0] : there[-1] + 1]
        count = len(rows)
        return FaceTrack(
            track_id=number,
            start=self.first + int(there[0]),
            boxes=rows[:, 6:],
            landmarks=rows[:, :6].reshape(count, 3, 2),
            visible=np.ones(count, bool),
            pose=np.zeros((count, 3), np.float32),
            sharpness=np.ones(count, np.float32),
            flip_error=np.zeros(count, np.float32),
            opening=np.full(count, np.nan, np.float32),
            portrait=self.portrait,
            person=self.face,
            by_hand=True,
        )

    def _combined(self, aspect: float) -> np.ndarray:
        """(n, 10) float32 points and boxes of every frame; NaN before the face appears and after it disappears."""
        after, before = self.seen[True].flat(), self.seen[False].flat()
        keys = sorted(frame - self.first for frame in self.marks)
        joined = np.full_like(after, np.nan)
        joined[keys[-1] :] = after[keys[-1] :]
        joined[: keys[0] + 1] = before[: keys[0] + 1]
        for low, high in pairwise(keys):
            joined[low:high] = _crossfade(after[low:high], before[low + 1 : high + 1])
        for key in keys:
            box, points = self.marks[key + self.first].box_and_points(aspect)
            joined[key] = np.concatenate([points.ravel(), box])
        return _interpolate_gaps(joined)


def _marked_tracks(marks: Sequence[Mark], shot: tuple[int, int]) -> list[_MarkedTrack]:
    """The tracks that the marks in a shot ask for, not yet tracked."""
    paths: list[_MarkedTrack] = []
    inside = sorted((mark for mark in marks if shot[0] <= mark.frame < shot[1]), key=lambda mark: mark.frame)
    for face in sorted({mark.face for mark in inside}):
        first, held = shot[0], {}
        for mark in (mark for mark in inside if mark.face == face):
            if mark.gone:
                if held:
                    paths.append(_MarkedTrack(face, first, mark.frame, held))
                first, held = -1, {}
            else:
                if first < 0:
                    first = mark.frame
                held[mark.frame] = mark
        if held:
            paths.append(_MarkedTrack(face, first, shot[1], held))
    return paths


def _by_shot(paths: list[_MarkedTrack], shots: Sequence[tuple[int, int]]) -> list[list[_MarkedTrack]]:
    groups = ([path for path in paths if first <= path.first < stop] for first, stop in shots)
    return [group for group in groups if group]


def _crossfade(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Crossfades the positions that were tracked forwards from one mark and backwards from the next.

    Args:
        after: (n, 10) of the frames from the first mark on.
        before: (n, 10) of the frames from the one after the first mark up to the second.
    """
    count = len(after)
    after = np.concatenate([after, np.full((1, 10), np.nan, np.float32)])
    before = np.concatenate([np.full((1, 10), np.nan, np.float32), before])
    last = int(np.flatnonzero(np.isfinite(after[:, 0]))[-1])
    earliest = int(np.flatnonzero(np.isfinite(before[:, 0]))[0])
    # Where only one tracker found the face it has full weight; gaps in its track are interpolated.
    after, before = _interpolate_gaps(after), _interpolate_gaps(before)
    start, end = max(earliest - 1, 0), min(last + 1, count)
    share = np.clip((np.arange(count + 1) - start) / max(end - start, 1), 0, 1)[:, None]
    share = np.where(np.isnan(after), 1.0, np.where(np.isnan(before), 0.0, share))
    joined = np.where(share < 1, np.nan_to_num(after) * (1 - share), 0) + np.where(share > 0, before * share, 0)
    return joined[:count].astype(np.float32)


def _interpolate_gaps(rows: np.ndarray) -> np.ndarray:
    """Interpolates (n, 10) rows over NaN between others; NaN at either end stays."""
    there = np.flatnonzero(np.isfinite(rows[:, 0]))
    if not len(there):
        return rows
    inside = np.arange(there[0], there[-1] + 1)
    filled = rows.copy()
    for column in range(rows.shape[1]):
        filled[inside, column] = np.interp(inside, there, rows[there, column])
    return filled


class _Pass:
    """Tracks the faces of one shot through its frames in one direction of time."""

    def __init__(self, clip: Clip, paths: list[_MarkedTrack], forwards: bool) -> None:
        self._clip, self._marked_tracks, self._forwards = clip, paths, forwards
        self._aspect = float(clip.sample_aspect)
        if forwards:
            self._first, self._stop = min(min(path.marks) for path in paths), max(path.stop for path in paths)
        else:
            self._first, self._stop = min(path.first for path in paths), max(max(path.marks) for path in paths) + 1
        self.count = self._stop - self._first
        """Frames that it reads, at most."""
        if not forwards and self.count == 1:
            self.count = 0  # no frame lies before the mark
        self._downsampling = _downsampling(clip, paths, self._aspect)

    def run(self) -> Iterator[int]:
        """Yields the number of processed frames."""
        if not self.count:
            return
        trackers = [_DirectionalTracker(path, self._forwards) for path in self._marked_tracks]
        for done, (index, luma, frame) in enumerate(self._frames(), 1):
            picture = Pyramid.of(luma, self._downsampling, self._aspect)
            for tracker in trackers:
                tracker.update(index, picture)
                path = tracker.path
                if frame is not None and not path.has_portrait and index in path.marks:
                    path.portrait, path.has_portrait = _portrait(frame, path.marks[index]), True
            yield done
            if all(tracker.ended(index) for tracker in trackers):
                break
        yield self.count

    def _frames(self) -> Iterator[tuple[int, torch.Tensor, Frame | None]]:
        """Every frame's index and reduced brightness; forwards also the frame itself."""
        if self._forwards:
            with FrameReader(self._clip, self._first, self._stop) as frames:
                for frame in frames:
                    yield frame.index, downsampled_luma(frame, self._downsampling), frame
            return
        samples = -(-self._clip.width // self._downsampling) * -(-self._clip.height // self._downsampling)
        length = max(1, MAX_BUFFERED_BYTES // (samples * BYTES_PER_SAMPLE))
        for stop in range(self._stop, self._first, -length):
            start = max(stop - length, self._first)
            with FrameReader(self._clip, start, stop) as frames:
                held = [downsampled_luma(frame, self._downsampling) for frame in frames]
            for index in range(stop - 1, start - 1, -1):
                yield index, held.pop(), None


class _DirectionalTracker:
    """Tracks one face in one direction of time, restarting at every mark."""

    def __init__(self, path: _MarkedTrack, forwards: bool) -> None:
        self.path = path
        self._forwards = forwards
        self._last_mark = max(path.marks) if forwards else min(path.marks)
        self._end = path.stop - 1 if forwards else path.first
        self._tracker: PatchTracker | None = None
        self._place: tuple[np.ndarray, np.ndarray] | None = None  # box and points of the mark, square pixels
        self._missed = 0

    def update(self, index: int, picture: Pyramid) -> None:
        """Tracks the face into the next frame."""
        path, place = self.path, index - self.path.first
        if not path.first <= index < path.stop:
            return
        mark, aspect = path.marks.get(index), picture.aspect
        if mark is not None:
            box, points = mark.box_and_points(aspect)
            self._place = (box * (aspect, 1, aspect, 1), points * (aspect, 1))
            self._tracker, self._missed = PatchTracker(picture, _tracked_box(self._place[0])), 0
        elif self._tracker is None or self._place is None:
            return
        elif not self._tracker.find(picture):
            self._missed += 1
            if self._missed > MAX_MISSED_FRAMES and self._past_marks(index):
                self._tracker = None
            return
        self._missed = 0
        total_motion, (box, points) = self._tracker.total_motion, self._place
        scale = np.sqrt(abs(np.linalg.det(total_motion[:, :2])))
        centre, half = affine.map_points(total_motion, (box[:2] + box[2:]) / 2), (box[2:] - box[:2]) / 2 * scale
        seen = path.seen[self._forwards]
        seen.points[place] = affine.map_points(total_motion, points) / (aspect, 1)
        seen.boxes[place] = np.concatenate([centre - half, centre + half]) / (aspect, 1, aspect, 1)

    def ended(self, index: int) -> bool:
        """Whether no further frame can add to this track."""
        if not self._past_marks(index):
            return False
        return self._tracker is None or (index >= self._end if self._forwards else index <= self._end)

    def _past_marks(self, index: int) -> bool:
        return index >= self._last_mark if self._forwards else index <= self._last_mark


def _downsampling(clip: Clip, paths: list[_MarkedTrack], aspect: float) -> int:
    """The samples along either side that are averaged into one, as many as the smallest face allows."""
    boxes = (_tracked_box(mark.box_and_points(aspect)[0]) for path in paths for mark in path.marks.values())
    smallest = min(float(max((box[2] - box[0]) * aspect, box[3] - box[1])) for box in boxes)
    step = max(1, int(smallest / GRID))
    while -(-clip.width // step) * -(-clip.height // step) > MAX_SAMPLES:
        step += 1
    return step


def _tracked_box(box: np.ndarray) -> np.ndarray:
    size = np.tile(box[2:] - box[:2], 2)
    return np.tile(box[:2], 2) + np.array(TRACKED_PART) * size


def _portrait(frame: Frame, mark: Mark) -> np.ndarray:
    points = mark.box_and_points(frame.sample_aspect)[1].astype(np.float32)
    transform = align_track(points[None], np.ones(1, bool), PORTRAIT_SIZE, sample_aspect=frame.layout.sample_aspect)[0]
    crop = crop_face(frame, transform, PORTRAIT_SIZE)
    return (crop * 255).round().byte().permute(1, 2, 0).numpy()  # 3HW -> HW3
