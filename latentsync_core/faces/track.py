"""Follows one face through a clip: detected once, then found again from the frame before, until it is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..errors import FaceError, OptionError
from ..frame import Frame
from ..types import Clip, FaceTrack, FaceTracks, Progress
from ..video_io import FrameReader
from .detect import Detection, detection_passes, overlap
from .landmarks import LandmarkScheme, three_points
from .mesh import FaceRegion, face_mesh

SMALLEST_FACE = 8.0  # pixels of the mesh's longer side; anything less is noise
LARGEST_STEP = 1.6  # how many times larger or smaller a face may get from one frame to the next
SAME_FACE = 0.2  # intersection over union with the lost face's last box that makes a detection the same person


@dataclass(frozen=True)
class FaceOptions:
    """What counts as a face."""

    detector_score: float = 0.5  # least score of a detection, 0 to 1; drawn faces may need 0.3
    presence: float = 0.5  # least certainty of the mesh that it lies on a face, 0 to 1

    def __post_init__(self) -> None:
        for name in ("detector_score", "presence"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise OptionError(f"{name} is {value}; use a value between 0 and 1")


@torch.inference_mode()
def prepare_faces(clip: Clip, options: FaceOptions | None = None, on_progress: Progress | None = None) -> FaceTracks:
    """Finds the face to be synced in every frame of a clip, streaming; memory doesn't grow with the clip but by points.

    The largest face of the first frame that has one is followed; once it is lost, the detection that overlaps its last
    place, or else the largest face, is taken up. A frame without a face is not visible in the track.

    Raises:
        FaceError: no frame has a face.
        VideoError: the clip can't be read, or has changed.
    """
    options = options or FaceOptions()
    count = clip.frame_count
    boxes = np.full((count, 4), np.nan, np.float32)
    landmarks = np.full((count, 3, 2), np.nan, np.float32)
    visible = np.zeros(count, bool)
    follower = FaceFollower(options, float(clip.sample_aspect))
    with FrameReader(clip) as frames:
        for index, frame in enumerate(frames):
            mesh = follower.find(frame)
            if mesh is not None:
                boxes[index] = _box(mesh)
                landmarks[index] = three_points(mesh, LandmarkScheme.MESH468)
                visible[index] = True
            if on_progress:
                on_progress(index + 1, count)
    if not visible.any():
        raise FaceError(
            f"no face was found in any of the {count} frames of {clip.name}; "
            f"use a part that shows a face from the front, or lower the detector score from {options.detector_score}"
        )
    return FaceTracks(clip, (FaceTrack(0, boxes, landmarks, visible),))


class FaceFollower:
    """Finds one person's mesh in frame after frame; its state is where that was in the frame before."""

    def __init__(self, options: FaceOptions, aspect: float = 1.0) -> None:
        self._options = options
        self._aspect = aspect
        self._region: FaceRegion | None = None  # of the frame before; None when the face is lost
        self._last_box: np.ndarray | None = None  # where it was last seen

    def find(self, frame: Frame) -> np.ndarray | None:
        """The face's (468, 2) mesh points in displayed pixels, or None where there is no face."""
        mesh = None
        if self._region is not None:
            mesh = self._mesh(frame, self._region)
        if mesh is None:
            mesh = self._search(frame)
        self._region = None if mesh is None else FaceRegion.of_mesh(mesh, self._aspect)
        if mesh is not None:
            self._last_box = _box(mesh)
        return mesh

    def _search(self, frame: Frame) -> np.ndarray | None:
        for faces in detection_passes(frame, self._options.detector_score, self._aspect):
            for face in sorted(faces, key=self._rank, reverse=True):
                mesh = self._mesh(frame, FaceRegion.of_detection(face, self._aspect), step=np.inf)
                # Again from the mesh's own region, as on the frames that follow: the first one must not stand apart.
                if mesh is not None:
                    mesh = self._mesh(frame, FaceRegion.of_mesh(mesh, self._aspect))
                if mesh is not None:
                    return mesh
        return None

    def _rank(self, face: Detection) -> tuple[bool, float]:
        same = self._last_box is not None and overlap(self._last_box, face.box) > SAME_FACE
        return same, face.area

    def _mesh(self, frame: Frame, region: FaceRegion, step: float = LARGEST_STEP) -> np.ndarray | None:
        """The mesh in `region` if it is surely one of a face in the frame, of about the region's size."""
        mesh, presence = face_mesh(frame, region, self._aspect)
        if presence < self._options.presence:
            return None
        side = FaceRegion.of_mesh(mesh, self._aspect).side
        centre = mesh.mean(0)
        inside = (centre >= -0.5).all() and (centre <= np.array([frame.width, frame.height]) - 0.5).all()
        fits = region.side / step <= side <= region.side * step
        return mesh if inside and fits and side >= SMALLEST_FACE else None


def _box(mesh: np.ndarray) -> np.ndarray:
    return np.concatenate([mesh.min(0), mesh.max(0)])
