"""Finds every face of every frame of a clip, as tracks: one face in one shot each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ...errors import FaceError
from ...progress import Progress
from ...video.clip import Clip
from ...video.frame import Frame
from ...video.pixel_format import Layout, PixelFormat
from ...video.reading.read_ahead import frames_ahead
from ...video.reading.reader import FrameReader
from ..alignment.align_options import AlignOptions
from ..detection.blazeface import Detection, overlap, search
from ..detection.region import FaceRegion
from ..face_options import FaceOptions
from ..face_tracks import FaceTracks
from ..identity.clustering import Sighting, name_people
from ..identity.embedding import EMBEDDING
from ..limits import TouchLimits
from ..tracks import FaceTrack
from .redetect import FaceFollower, settled_meshes
from .shots import LAG, ShotFinder, ShotOptions, shots_from
from .tracker import Tracker
from .tracklet import BOX, COLUMNS, DOUBT, POINTS, POSE, SHARPNESS, Tracklet, clearness, cut_portrait, embeddings
from .unplaced import seen_all_the_same

__all__ = ["FaceFollower", "FaceOptions", "prepare_faces"]

HELD_BYTES = 256 * 2**20  # of past frames, and half of it of those to come: of very large ones fewer are held
LEAST_HELD = 4  # frames, whatever their size
MOST_AHEAD = 10  # frames read before they are looked at: a search of a 4K frame lasts as long as following in eight
TURNED_EVERY = 3  # searches in which no face was found, for one that also looks for lying ones
TURNS = (1, 2, 3)  # quarter turns
SHORTEST = 5  # frames: what is seen for less is no face but a dissolve's ghost, unless its shot is as short
HIDDEN = 0.35  # intersection over union with another face from which a face in a gap is behind it
FINE, COARSE = "fine", "coarse"  # searches: for faces of all sizes, or only for large ones


@torch.inference_mode()
def prepare_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    on_progress: Progress | None = None,
    limits: TouchLimits | None = None,
    shots: ShotOptions | None = None,
    needed: bool = True,
) -> FaceTracks:
    """Finds all faces of all frames of a clip, streaming: one pass, and memory grows only by some numbers a face.

    Known faces are followed from frame to frame; new ones are looked for in a shot's first and last frame and every few
    frames, and followed back to where they appeared. A track lies in one shot. Gaps of a few frames are bridged by
    straight lines. The tracks of whom is seen most are chosen.

    Args:
        align: how crops will be cut at the landmarks.
        limits: beyond which faces will be left alone.
        shots: what counts as a cut.
        needed: whether it is an error that there is no face at all.

    Raises:
        FaceError: no frame has a face, and one is needed.
        VideoError: the clip can't be read, or has changed.
    """
    options = options or FaceOptions()
    faces, starts = _followed(clip, options, shots, on_progress)
    ranges = shots_from(starts, clip.frame_count)
    pieces = [piece for piece in _pieces(faces, [start for start, _ in ranges]) if _lasts(piece, ranges)]
    pieces.sort(key=_first_and_largest)
    if needed and not pieces:
        seen = seen_all_the_same(clip, options)
        raise FaceError(
            f"no face was found in any of the {clip.frame_count} frames of {clip.name}; "
            + (
                seen
                or f"use a part that shows a face from the front, a detector score under {options.detector_score}, or "
                f"mark the face by hand"
            )
        )
    _hide_behind_others(pieces)
    for piece in pieces:
        if piece.portrait is None or not piece.samples:
            piece.look_again(clip, options)
    people = name_people([_sighting(piece, ranges, clip) for piece in pieces])
    tracks = tuple(
        _track(number, piece, person) for number, (piece, person) in enumerate(zip(pieces, people, strict=True))
    )
    chosen = tuple(track.track_id for track in tracks if track.person == 0)
    return FaceTracks(clip, tracks, ranges, align or AlignOptions(), limits or TouchLimits(), chosen)


def _lasts(piece: _Piece, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a face is seen long enough to be one, or for half of a shot that is short itself."""
    first, stop = ranges[piece.shot]
    return int(piece.seen.sum()) >= min(SHORTEST, (stop - first + 1) // 2)


def _followed(
    clip: Clip, options: FaceOptions, shots: ShotOptions | None, on_progress: Progress | None
) -> tuple[list[Tracklet], set[int]]:
    """Every face, not yet split at those cuts that became known late; and the first frames of all shots but one."""
    finder = ShotFinder(shots)
    starts: set[int] = set()
    waiting: deque[Frame] = deque()
    read = frames_ahead(clip)
    with ThreadPoolExecutor(1, "face search") as pool:
        following = _Following(clip, options, starts, pool)
        try:
            for frame in read:
                starts.update(finder.add(frame))
                waiting.append(frame)
                following.foresee(waiting)
                if len(waiting) > following.ahead:
                    following.look(waiting.popleft(), on_progress)
            starts.update(finder.finish())
            while waiting:
                following.foresee(waiting)
                following.look(waiting.popleft(), on_progress)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            read.close()
    return following.tracker.finish(), starts


class _Following:
    """Leads the tracker through a clip: where shots begin, and when new faces are searched for, in a second thread."""

    def __init__(self, clip: Clip, options: FaceOptions, starts: set[int], pool: ThreadPoolExecutor) -> None:
        self._options, self._starts, self._pool = options, starts, pool
        self._last = clip.frame_count - 1
        self._aspect = float(clip.sample_aspect)
        held = HELD_BYTES // _frame_bytes(clip, Layout.of(clip).pixel_format)
        self._every = min(options.search_every, max(held, LEAST_HELD))
        self.ahead = max(LAG + 1, min(MOST_AHEAD, held // 2))  # at least until a shot's last frame is known as such
        self._searches: dict[int, tuple[str, Future[list[Detection]]]] = {}
        self._in_vain = 0  # searches since a face was seen
        self.tracker = Tracker(options, self._aspect, self._every - 1)

    def foresee(self, waiting: Iterable[Frame]) -> None:
        """Begins the searches in those of the frames to come that are known to need one."""
        for frame in waiting:
            how = self._how(frame.index)
            if how and self._searches.get(frame.index, ("", None))[0] not in (how, FINE):
                self._searches[frame.index] = how, self._pool.submit(self._found, frame, how == COARSE)

    def look(self, frame: Frame, on_progress: Progress | None) -> None:
        """Takes the next frame in."""
        index = frame.index
        if index in self._starts:
            self.tracker.cut()
            self._in_vain = 0
        self.tracker.step(index, frame)
        if index in self._searches:
            how, faces = self._searches.pop(index)
            self.tracker.take_up(index, frame, faces.result())
            if self.tracker.sees_something:
                self._in_vain = 0
            elif how == FINE:
                if self._in_vain % TURNED_EVERY == 0:
                    self.tracker.take_up(index, frame, self._found(frame, False, TURNS))
                self._in_vain += 1
        self.tracker.passed(index, frame)
        if on_progress:
            on_progress(index + 1, self._last + 1)

    def _how(self, index: int) -> str:
        """How a frame is searched as far as is known by now: FINE, COARSE, or not at all."""
        if index in (0, self._last) or index % self._every == 0 or {index, index + 1} & self._starts:
            return FINE
        return COARSE if index % self._every == self._every // 2 else ""

    @torch.inference_mode()
    def _found(self, frame: Frame, coarse: bool, turns: Sequence[int] = (0,)) -> list[Detection]:
        options = self._options
        return search(frame, options.detector_score, self._aspect, options.smallest, coarse=coarse, turns=turns)


def _frame_bytes(clip: Clip, pixel_format: PixelFormat) -> int:
    if clip.images is not None:
        return max(clip.images[0].numel() * clip.images.element_size(), 1)
    samples = sum(rows * columns for rows, columns in pixel_format.plane_shapes(clip.width, clip.height))
    return max(samples * pixel_format.dtype.itemsize, 1)


def _pieces(faces: Iterable[Tracklet], starts: list[int]) -> Iterator[_Piece]:
    """Every face's stretches within one shot."""
    edges = np.array(starts[1:])
    for face in faces:
        frames, rows = np.array(face.frames), np.stack(face.rows)
        shot = np.searchsorted(edges, frames, side="right")
        for number in np.unique(shot):
            inside = shot == number
            yield _Piece(int(number), frames[inside], rows[inside], face)


class _Piece:
    """A face in one shot, as numbers for each of its frames."""

    def __init__(self, shot: int, frames: np.ndarray, rows: np.ndarray, face: Tracklet) -> None:
        self.shot = shot
        self.start, self.stop = int(frames[0]), int(frames[-1]) + 1
        self.rows = _bridged(frames, rows)  # (n, COLUMNS)
        self.seen = np.isin(np.arange(self.start, self.stop), frames)  # (n,): not between two that were seen
        self.visible = np.ones(len(self.rows), bool)  # also where it wasn't seen, if nobody hid it
        self.samples = [sample for sample in face.samples if self.start <= sample[0] < self.stop]
        self.portrait = face.portrait if self.start <= face.portrait_frame < self.stop else None

    def look_again(self, clip: Clip, options: FaceOptions) -> None:
        """Reads its clearest frame once more: split off at a cut that was told late, nobody looked at it in time."""
        best = max(np.flatnonzero(self.seen), key=lambda place: clearness(self.rows[place]))
        row, index, aspect = self.rows[best], self.start + int(best), float(clip.sample_aspect)
        with FrameReader(clip, index, index + 1) as frames:
            frame = next(iter(frames))
        if self.portrait is None:
            self.portrait = cut_portrait(frame, row)
        look = settled_meshes(frame, [FaceRegion.of_box(row[BOX], row[POSE][2], aspect)], options.presence, aspect)[0]
        embedding = None if look is None else embeddings(frame, [look], aspect)[0]
        if embedding is not None:
            self.samples.append((index, clearness(row), embedding))

    @property
    def area(self) -> float:
        """Pixels of its boxes, summed over its frames."""
        return float((self.rows[:, 2:4] - self.rows[:, 0:2]).prod(1).sum())


def _bridged(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of every frame from the first to the last, those between two that are there on straight lines."""
    rows = rows.astype(np.float64)
    rows[:, POSE] = np.unwrap(rows[:, POSE], period=360, axis=0)
    every = np.arange(frames[0], frames[-1] + 1)
    full = np.stack([np.interp(every, frames, rows[:, column]) for column in range(COLUMNS)], axis=1)
    full[:, POSE] = (full[:, POSE] + 180) % 360 - 180
    return full.astype(np.float32)


def _hide_behind_others(pieces: Sequence[_Piece]) -> None:
    """A face isn't visible in a gap in which another face is where it would be."""
    for piece in pieces:
        for gap in np.flatnonzero(~piece.seen):
            frame = piece.start + int(gap)
            for other in pieces:
                place = frame - other.start
                if other is piece or not 0 <= place < len(other.rows) or not other.visible[place]:
                    continue
                if overlap(piece.rows[gap, BOX], other.rows[place, BOX]) >= HIDDEN:
                    piece.visible[gap] = False


def _first_and_largest(piece: _Piece) -> tuple[int, float]:
    return piece.start, -piece.area


def _sighting(piece: _Piece, shots: tuple[tuple[int, int], ...], clip: Clip) -> Sighting:
    vectors = np.array([embedding for _, _, embedding in piece.samples], np.float32).reshape(-1, EMBEDDING)
    weights = np.array([clear for _, clear, _ in piece.samples], np.float32)
    return Sighting(piece.shot, piece.start, piece.stop, vectors, weights, piece.area / (clip.width * clip.height))


def _track(number: int, piece: _Piece, person: int) -> FaceTrack:
    rows = piece.rows
    embedding = None
    if piece.samples:
        weights = [clear for _, clear, _ in piece.samples]
        embedding = np.average([vector for _, _, vector in piece.samples], axis=0, weights=weights).astype(np.float32)
    rows[~piece.visible] = np.nan
    return FaceTrack(
        track_id=number,
        start=piece.start,
        boxes=rows[:, BOX].copy(),
        landmarks=rows[:, POINTS].reshape(-1, 3, 2).copy(),
        visible=piece.visible,
        pose=rows[:, POSE].copy(),
        sharpness=rows[:, SHARPNESS].copy(),
        doubt=rows[:, DOUBT].copy(),
        portrait=piece.portrait,
        embedding=embedding,
        person=person,
    )
