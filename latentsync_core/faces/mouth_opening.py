"""How far a mouth is open, by the face mesh: the distance of the inner lips over the height of the face."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import numpy as np

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
    faces: FaceTracks, frames: Iterable[Frame] | None = None, on_frame: Callable[[], None] | None = None
) -> np.ndarray:
    """(N,) float64: the opening of the chosen face's mouth in every frame; NaN where there is none or it is hidden.

    One pass of the mesh network over each face, where tracking found it.

    Args:
        frames: what is read instead of the clip's own frames: those of a dub of it. Where they end early, the rest is
            NaN.
        on_frame: called after every frame; raising from it cancels.
    """
    path = faces.path
    openings = np.full(faces.clip.frame_count, np.nan)
    with ExitStack() as reading:
        shown = reading.enter_context(FrameReader(faces.clip)) if frames is None else frames
        for index, frame in zip(range(len(openings)), shown, strict=False):
            if path.visible[index]:
                openings[index] = opening_at(frame, faces.tracks[path.track[index]], index)
            if on_frame:
                on_frame()
    return openings


def opening_at(frame: Frame, track: FaceTrack, index: int) -> float:
    """The opening of a visible track's mouth in the clip's frame `index`; NaN where the mouth is hidden."""
    row = index - track.start
    roll = float(np.nan_to_num(track.pose[row, 2]))
    mesh = face_meshes(frame, [FaceRegion.from_box(track.boxes[row], roll, frame.sample_aspect)])[0]
    return mesh_opening(mesh.points) if mesh.presence >= MIN_PRESENCE else float("nan")
