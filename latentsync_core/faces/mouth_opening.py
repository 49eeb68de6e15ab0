"""How far a mouth is open, by the face mesh: the distance of the inner lips over the height of the face."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import numpy as np

from ..runs import runs_where
from ..video.frame import Frame
from ..video.reading.reader import FrameReader
from .detection.face_mesh import face_meshes
from .detection.region import FaceRegion
from .face_tracks import FaceTracks
from .tracks import FaceTrack

INNER_LIPS, FOREHEAD, CHIN = (13, 14), 10, 152  # mesh vertices
MIN_PRESENCE = 0.5  # the mesh network's confidence, below which a reading doesn't count: a hand over the mouth


def mesh_opening(points: np.ndarray) -> float:
    """The opening in (468, 2 or more) mesh points, as a fraction of the face's height."""
    upper, lower = (points[vertex, :2] for vertex in INNER_LIPS)
    return float(np.linalg.norm(lower - upper) / np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2]))


def mouth_openings(
    faces: FaceTracks,
    frames: Iterable[Frame] | None = None,
    on_frame: Callable[[], None] | None = None,
    span: range | None = None,
) -> np.ndarray:
    """(N,) float64: the opening of the chosen face's mouth in every frame; NaN where there is none or it is hidden.

    One pass of the mesh network over each face, where tracking found it.

    Args:
        frames: what is read instead of the clip's own frames: those of a dub of it. Where they end early, the rest is
            NaN.
        on_frame: called after every frame; raising from it cancels.
        span: which frames are read, in steps of 1; the others are NaN.
    """
    path = faces.path
    openings = np.full(faces.clip.frame_count, np.nan)
    span = range(len(openings)) if span is None else span
    with ExitStack() as reading:
        if frames is None:
            frames = reading.enter_context(FrameReader(faces.clip, span.start, span.stop))
        for index, frame in zip(span, frames, strict=False):
            if path.visible[index]:
                openings[index] = opening_at(frame, faces.tracks[path.track[index]], index)
            if on_frame:
                on_frame()
    return openings


def filmed_openings(faces: FaceTracks, needed: np.ndarray, on_frame: Callable[[], None] | None = None) -> np.ndarray:
    """(N,) float64: the opening of the chosen face's mouth, at least in the frames that are `needed`, (N,) bool.

    NaN is unknown. They are what tracking read. Faces that were marked by hand, and those found by an earlier version
    of this pack, have none: only for these a pass over the clip is made, as `mouth_openings` does.
    """
    path, openings = faces.path, np.full(faces.clip.frame_count, np.nan)
    unread = np.zeros(len(openings), bool)
    for first, stop in runs_where(path.track >= 0, path.track):
        track = faces.tracks[path.track[first]]
        openings[first:stop] = track.opening[first - track.start : stop - track.start]
        unread[first:stop] = np.isnan(track.opening).all()
    frames = np.flatnonzero(unread & needed)
    if len(frames):
        read = mouth_openings(faces, on_frame=on_frame, span=range(int(frames[0]), int(frames[-1]) + 1))
        openings[frames] = read[frames]
    return openings


def opening_at(frame: Frame, track: FaceTrack, index: int) -> float:
    """The opening of a visible track's mouth in the clip's frame `index`; NaN where the mouth is hidden."""
    row = index - track.start
    roll = float(np.nan_to_num(track.pose[row, 2]))
    mesh = face_meshes(frame, [FaceRegion.from_box(track.boxes[row], roll, frame.sample_aspect)])[0]
    return mesh_opening(mesh.points) if mesh.presence >= MIN_PRESENCE else float("nan")
