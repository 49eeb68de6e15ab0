"""Finds all faces of a clip as tracks, each of one face in one shot."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import FaceError
from ...messages import Remedy
from ...progress import Progress
from ...video.clip import Clip
from ...video.frame import Frame
from ...video.pixel_format import Layout, PixelFormat
from ...video.reading.read_ahead import prefetch_frames
from ...video.reading.reader import FrameReader
from ..alignment.align_options import AlignOptions
from ..detection.blazeface import Detection, detect_faces, iou
from ..detection.region import FaceRegion
from ..face_options import FaceOptions
from ..face_tracks import FaceTracks
from ..identity.clustering import TrackSummary, cluster_tracks
from ..identity.embedding import EMBEDDING_SIZE
from ..limits import TouchLimits
from ..tracks import FaceTrack
from .redetect import converged_meshes
from .shot_log import ShotLog, detected_shots, logged_shots
from .shots import LAG, ShotDetector, shot_ranges
from .tracker import Tracker
from .tracklet import (
    BOX,
    COLUMNS,
    FLIP_ERROR,
    OPENING,
    POINTS,
    POSE,
    SHARPNESS,
    TrackedFace,
    cut_portrait,
    embed_meshes,
    face_quality,
)
from .unconverged import suggest_mark

MAX_BUFFERED_BYTES = 256 * 2**20  # of past frames, and half as much of frames ahead: large frames are fewer
MIN_BUFFERED_FRAMES = 4  # frames, whatever their size
MAX_FRAMES_AHEAD = 10  # frames read ahead: detection in a 4K frame takes as long as tracking in eight
ROTATED_SEARCH_INTERVAL = 3  # failed searches from one for rotated faces to the next
ROTATED_QUARTER_TURNS = (1, 2, 3)  # of the picture in a search for rotated faces
MIN_TRACK_FRAMES = 5  # frames: a shorter track is an artefact of a dissolve, unless its shot is as short
OCCLUSION_IOU = 0.35  # intersection over union with another face from which a face in a gap counts as occluded by it
FINE, COARSE = "fine", "coarse"  # searches: for faces of all sizes, or only for large ones


@torch.inference_mode()
def track_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    on_progress: Progress | None = None,
    limits: TouchLimits | None = None,
    required: bool = True,
    tracked: TrackedClip | None = None,
) -> FaceTracks:
    """Finds all faces of a clip in one streaming pass; memory grows only by some numbers per face and frame.

    Known faces are tracked from frame to frame. New ones are detected in a shot's first and last frame and every few
    frames, and tracked back to their first frame. A track lies in one shot. Gaps of a few frames are interpolated
    linearly. The most prominent person's tracks are chosen.

    Args:
        align: how crops are aligned to the landmarks.
        limits: beyond which faces are left unchanged.
        required: whether a clip without any face is an error.
        tracked: the faces where they have been tracked in parts; the clip itself is then hardly read.

    Raises:
        FaceError: no frame has a face, and one is required.
        VideoError: the clip can't be read, or has changed.
    """
    options = options or FaceOptions()
    if tracked is None:
        tracked = _track_clip(clip, options, on_progress)
    ranges = shot_ranges(tracked.starts, clip.frame_count)
    shot_tracks = [
        shot_track
        for shot_track in _split_at_shots(tracked.faces, [start for start, _ in ranges])
        if _is_long_enough(shot_track, ranges)
    ]
    shot_tracks.sort(key=_track_order)
    if required and not shot_tracks:
        found = f"no face was found in any of the {clip.frame_count} frames of {clip.name}"
        if suggestion := suggest_mark(clip, options):
            raise FaceError(f"{found}; {suggestion}", Remedy.MARK_FACE)
        raise FaceError(
            found,
            "use a part that shows a face from the front",
            Remedy.ADJUST_DETECTION,
            about=f"{options.detector_score:g}",
        )
    _hide_occluded_gaps(shot_tracks)
    for shot_track in shot_tracks:
        if not shot_track.has_portrait or not shot_track.samples:
            shot_track.sample_clearest_frame(clip, options)
    people = cluster_tracks([_summary(shot_track, ranges, clip) for shot_track in shot_tracks])
    tracks = tuple(
        _track(number, shot_track, person)
        for number, (shot_track, person) in enumerate(zip(shot_tracks, people, strict=True))
    )
    chosen = tuple(track.track_id for track in tracks if track.person == 0)
    return FaceTracks(clip, tracks, ranges, align or AlignOptions(), limits or TouchLimits(), chosen)


def _is_long_enough(shot_track: _ShotTrack, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a face is visible in enough frames, or in half of a shot that is short itself."""
    first, stop = ranges[shot_track.shot]
    return int(shot_track.detected.sum()) >= min(MIN_TRACK_FRAMES, (stop - first + 1) // 2)


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """What tracking gathers of a clip in one pass: `track_faces` makes its tracks of it."""

    faces: Sequence[TrackedFace]  # in the order in which their tracks ended; not yet split at cuts known late
    starts: Collection[int]  # the first frames of all shots except the first one


@torch.inference_mode()
def track_range(
    clip: Clip, log: ShotLog, first: int, stop: int, options: FaceOptions, on_progress: Progress | None = None
) -> list[TrackedFace]:
    """The faces of the frames first..stop-1, as one pass over the whole clip would track them.

    Both ends have to be ends of the clip or of its shots (`ShotLog.cuts`).

    Raises:
        VideoError: the clip can't be read, or has changed.
    """
    ahead = frames_ahead(clip)
    with closing(prefetch_frames(clip, start=first, stop=stop)) as read:
        steps = logged_shots(read, log, first, stop, ahead, clip.frame_count)
        faces, _ = _run_tracker(clip, options, steps, None if on_progress is None else _from(on_progress, first, stop))
    return faces


def frames_ahead(clip: Clip) -> int:
    """How many frames the search for new faces is ahead of tracking; LAG frames later a cut is known."""
    return max(LAG + 1, min(MAX_FRAMES_AHEAD, _held_frames(clip) // 2))


def _from(on_progress: Progress, first: int, stop: int) -> Progress:
    """The progress of a range of frames by that of the clip's frames."""
    return lambda done, _: on_progress(done - first, stop - first)


def _track_clip(clip: Clip, options: FaceOptions, on_progress: Progress | None) -> TrackedClip:
    detector = ShotDetector(options.shot_threshold)
    with closing(prefetch_frames(clip)) as read:
        faces, starts = _run_tracker(clip, options, detected_shots(read, detector, clip.frame_count), on_progress)
    return TrackedClip(faces, starts)


def _run_tracker(
    clip: Clip,
    options: FaceOptions,
    steps: Iterable[tuple[Frame | None, Sequence[int], int]],
    on_progress: Progress | None,
) -> tuple[list[TrackedFace], set[int]]:
    """All faces of the frames in `steps`, and the first frames of shots that these made known."""
    starts: set[int] = set()
    waiting: deque[Frame] = deque()
    with ThreadPoolExecutor(1, "face search") as pool:
        clip_tracker = _ClipTracker(clip, options, starts, pool)
        try:
            for frame, found, seen in steps:
                starts.update(found)
                if frame is not None:
                    waiting.append(frame)
                clip_tracker.schedule_searches(waiting)
                while waiting and seen - waiting[0].index >= clip_tracker.ahead:
                    clip_tracker.process(waiting.popleft(), on_progress)
            while waiting:
                clip_tracker.schedule_searches(waiting)
                clip_tracker.process(waiting.popleft(), on_progress)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [face.tracked() for face in clip_tracker.tracker.finish()], starts


class _ClipTracker:
    """Runs the tracker over a clip: ends tracks at cuts, and schedules detections in a second thread."""

    def __init__(self, clip: Clip, options: FaceOptions, starts: set[int], pool: ThreadPoolExecutor) -> None:
        self._options, self._starts, self._pool = options, starts, pool
        self._last = clip.frame_count - 1
        self._search_interval = min(options.search_interval, max(_held_frames(clip), MIN_BUFFERED_FRAMES))
        self.ahead = frames_ahead(clip)
        self._searches: dict[int, tuple[str, Future[list[Detection]]]] = {}
        self._failed_searches = 0  # since a face was visible
        self.tracker = Tracker(options, self._search_interval - 1)

    def schedule_searches(self, waiting: Iterable[Frame]) -> None:
        """Starts the detections in those of the waiting frames that are known to need one."""
        for frame in waiting:
            how = self._search_kind(frame.index)
            if how and self._searches.get(frame.index, ("", None))[0] not in (how, FINE):
                self._searches[frame.index] = how, self._pool.submit(self._detect, frame, how == COARSE)

    def process(self, frame: Frame, on_progress: Progress | None) -> None:
        """Tracks faces into the next frame, and starts tracks of the faces that were detected in it."""
        index = frame.index
        if index in self._starts:
            self.tracker.cut()
            self._failed_searches = 0
        self.tracker.step(index, frame)
        if index in self._searches:
            how, faces = self._searches.pop(index)
            self.tracker.start_tracks(index, frame, faces.result())
            if self.tracker.has_visible_face:
                self._failed_searches = 0
            elif how == FINE:
                if self._failed_searches % ROTATED_SEARCH_INTERVAL == 0:
                    self.tracker.start_tracks(index, frame, self._detect(frame, False, ROTATED_QUARTER_TURNS))
                self._failed_searches += 1
        self.tracker.buffer(index, frame)
        if on_progress:
            on_progress(index + 1, self._last + 1)

    def _search_kind(self, index: int) -> str:
        """How a frame is searched, given the cuts known so far: FINE, COARSE, or "" for not at all."""
        if index in (0, self._last) or index % self._search_interval == 0 or {index, index + 1} & self._starts:
            return FINE
        return COARSE if index % self._search_interval == self._search_interval // 2 else ""

    @torch.inference_mode()
    def _detect(self, frame: Frame, coarse: bool, turns: Sequence[int] = (0,)) -> list[Detection]:
        options = self._options
        return detect_faces(frame, options.detector_score, options.min_size, coarse=coarse, turns=turns)


def _held_frames(clip: Clip) -> int:
    return MAX_BUFFERED_BYTES // _frame_bytes(clip, Layout.of(clip).pixel_format)


def _frame_bytes(clip: Clip, pixel_format: PixelFormat) -> int:
    if clip.images is not None:
        return max(clip.images[0].numel() * clip.images.element_size(), 1)
    samples = sum(rows * columns for rows, columns in pixel_format.plane_shapes(clip.width, clip.height))
    return max(samples * pixel_format.dtype.itemsize, 1)


def _split_at_shots(faces: Iterable[TrackedFace], starts: list[int]) -> Iterator[_ShotTrack]:
    """Splits every face into its parts in one shot."""
    edges = np.array(starts[1:])
    for face in faces:
        frames, rows = face.frames, face.rows
        shot = np.searchsorted(edges, frames, side="right")
        for number in np.unique(shot):
            inside = shot == number
            yield _ShotTrack(int(number), frames[inside], rows[inside], face)


class _ShotTrack:
    """One face in one shot: a row of measurements for each of its frames."""

    def __init__(self, shot: int, frames: np.ndarray, rows: np.ndarray, face: TrackedFace) -> None:
        self.shot = shot
        self.start, self.stop = int(frames[0]), int(frames[-1]) + 1
        self.rows = _interpolate_gaps(frames, rows)  # (n, COLUMNS)
        self.detected = np.isin(np.arange(self.start, self.stop), frames)  # (n,) bool: detected, not interpolated
        self.visible = np.ones(len(self.rows), bool)  # also in gaps, unless another face occludes it
        self.samples = [sample for sample in face.samples if self.start <= sample[0] < self.stop]
        self.portrait = face.portrait
        self.has_portrait = self.start <= face.portrait_frame < self.stop  # else it is of another shot

    def sample_clearest_frame(self, clip: Clip, options: FaceOptions) -> None:
        """Reads its best frame again for a portrait and embedding: split at a cut known late, it may have none."""
        best = max(np.flatnonzero(self.detected), key=lambda place: face_quality(self.rows[place]))
        row, index = self.rows[best], self.start + int(best)
        with FrameReader(clip, index, index + 1) as frames:
            frame = next(iter(frames))
        if not self.has_portrait:
            self.portrait, self.has_portrait = cut_portrait(frame, row), True
        region = FaceRegion.from_box(row[BOX], row[POSE][2], frame.sample_aspect)
        mesh = converged_meshes(frame, [region], options.presence)[0]
        embedding = None if mesh is None else embed_meshes(frame, [mesh])[0]
        if embedding is not None:
            self.samples.append((index, face_quality(row), embedding))

    @property
    def area(self) -> float:
        """Box area in pixels, summed over its frames."""
        return float((self.rows[:, 2:4] - self.rows[:, 0:2]).prod(1).sum())


def _interpolate_gaps(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of every frame from the first to the last, linearly interpolated in gaps."""
    rows = rows.astype(np.float64)
    rows[:, POSE] = np.unwrap(rows[:, POSE], period=360, axis=0)
    every = np.arange(frames[0], frames[-1] + 1)
    full = np.stack([np.interp(every, frames, rows[:, column]) for column in range(COLUMNS)], axis=1)
    full[:, POSE] = (full[:, POSE] + 180) % 360 - 180
    return full.astype(np.float32)


def _hide_occluded_gaps(shot_tracks: Sequence[_ShotTrack]) -> None:
    """Marks a face invisible in the frames of a gap where another face overlaps its interpolated box."""
    for shot_track in shot_tracks:
        for gap in np.flatnonzero(~shot_track.detected):
            frame = shot_track.start + int(gap)
            for other in shot_tracks:
                place = frame - other.start
                if other is shot_track or not 0 <= place < len(other.rows) or not other.visible[place]:
                    continue
                if iou(shot_track.rows[gap, BOX], other.rows[place, BOX]) >= OCCLUSION_IOU:
                    shot_track.visible[gap] = False


def _track_order(shot_track: _ShotTrack) -> tuple[int, float]:
    return shot_track.start, -shot_track.area


def _summary(shot_track: _ShotTrack, shots: tuple[tuple[int, int], ...], clip: Clip) -> TrackSummary:
    vectors = np.array([embedding for _, _, embedding in shot_track.samples], np.float32).reshape(-1, EMBEDDING_SIZE)
    weights = np.array([quality for _, quality, _ in shot_track.samples], np.float32)
    return TrackSummary(
        shot_track.shot,
        shot_track.start,
        shot_track.stop,
        vectors,
        weights,
        shot_track.area / (clip.width * clip.height),
    )


def _track(number: int, shot_track: _ShotTrack, person: int) -> FaceTrack:
    rows = shot_track.rows
    embedding = None
    if shot_track.samples:
        weights = [quality for _, quality, _ in shot_track.samples]
        embedding = np.average([vector for _, _, vector in shot_track.samples], axis=0, weights=weights).astype(
            np.float32
        )
    rows[~shot_track.visible] = np.nan
    return FaceTrack(
        track_id=number,
        start=shot_track.start,
        boxes=rows[:, BOX].copy(),
        landmarks=rows[:, POINTS].reshape(-1, 3, 2).copy(),
        visible=shot_track.visible,
        pose=rows[:, POSE].copy(),
        sharpness=rows[:, SHARPNESS].copy(),
        flip_error=rows[:, FLIP_ERROR].copy(),
        opening=rows[:, OPENING].copy(),
        portrait=shot_track.portrait,
        embedding=embedding,
        person=person,
    )
