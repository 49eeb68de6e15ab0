"""Follows one face through a clip: detected once, then found again from the frame before, until it is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..errors import FaceError, OptionError
from ..frame import Frame
from ..types import Clip, FaceTrack, FaceTracks, Progress, Roi
from ..video_io import FrameReader
from .align import AlignOptions
from .detect import Detection, detection_passes, faces_within, overlap
from .landmarks import LandmarkScheme, three_points
from .mesh import FaceRegion, face_mesh

SMALLEST_FACE = 8.0  # pixels of the mesh's region; anything less is noise
SETTLED = 0.06  # region sides that a region may move or grow by when the mesh in it is its own: costs 0.4 % of a side
MOST_LOOKS = 6  # at a face before it counts as not settling
NEARBY = 2.0  # sides of its region: the square in which a known face is looked for
KNOWN_FACE = 0.6  # of the usual score is enough to find a known face again
AGREEMENT = 0.4  # intersection over union of a mesh's box with a detection of the same face
SAME_FACE = 0.2  # the same, of a detection with the face's last box


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
def prepare_faces(
    clip: Clip,
    options: FaceOptions | None = None,
    align: AlignOptions | None = None,
    on_progress: Progress | None = None,
) -> FaceTracks:
    """Finds the face to be synced in every frame of a clip, streaming; memory doesn't grow with the clip but by points.

    The largest face of the first frame that has one is followed; once it is lost, the detection that overlaps its last
    place, or else the largest face, is taken up. A frame without a face is not visible in the track. `align` says how
    crops will be cut at the landmarks.

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
            f"use a part that shows a face from the front, or a detector score under {options.detector_score}"
        )
    return FaceTracks(clip, (FaceTrack(0, boxes, landmarks, visible),), align or AlignOptions())


class FaceFollower:
    """Finds one person's mesh in frame after frame; its state is where that was in the frame before.

    The mesh network sees what its region suggests, so a mesh counts only once its own region has settled around it and
    a detection, looked for nearby, agrees with it. Landmarks come from the settled mesh, never from a detection, whose
    box trembles more.
    """

    def __init__(self, options: FaceOptions, aspect: float = 1.0) -> None:
        self._options = options
        self._aspect = aspect
        self._region: FaceRegion | None = None  # of the frame before; None when the face is lost
        self._last_box: np.ndarray | None = None  # where it was last seen

    def find(self, frame: Frame) -> np.ndarray | None:
        """The face's (468, 2) mesh points in displayed pixels, or None where there is no face."""
        mesh = None
        if self._region is not None:
            mesh = self._follow(frame, self._region)
        if mesh is None:
            mesh = self._search(frame)
        self._region = None if mesh is None else FaceRegion.of_mesh(mesh, self._aspect)
        if mesh is not None:
            self._last_box = _box(mesh)
        return mesh

    def _follow(self, frame: Frame, region: FaceRegion) -> np.ndarray | None:
        reach = region.side * NEARBY / 2
        part = Roi(
            max(int((region.centre[0] - reach) / self._aspect), 0),
            max(int(region.centre[1] - reach), 0),
            min(int((region.centre[0] + reach) / self._aspect) + 1, frame.width),
            min(int(region.centre[1] + reach) + 1, frame.height),
        )
        if part.width < 1 or part.height < 1:
            return None
        faces = faces_within(frame, part, self._options.detector_score * KNOWN_FACE, self._aspect)
        if not faces:
            return None
        mesh = self._settled_mesh(frame, region)
        if mesh is not None and any(overlap(_box(mesh), face.box) >= AGREEMENT for face in faces):
            return mesh
        return self._first_mesh(frame, [face for face in faces if self._is_same(face)])

    def _search(self, frame: Frame) -> np.ndarray | None:
        for faces in detection_passes(frame, self._options.detector_score, self._aspect):
            mesh = self._first_mesh(frame, sorted(faces, key=self._is_same, reverse=True))
            if mesh is not None:
                return mesh
        return None

    def _first_mesh(self, frame: Frame, faces: list[Detection]) -> np.ndarray | None:
        for face in faces:
            mesh = self._settled_mesh(frame, FaceRegion.of_detection(face, self._aspect))
            if mesh is not None and overlap(_box(mesh), face.box) >= AGREEMENT:
                return mesh
        return None

    def _is_same(self, face: Detection) -> bool:
        return self._last_box is not None and overlap(self._last_box, face.box) > SAME_FACE

    def _settled_mesh(self, frame: Frame, region: FaceRegion) -> np.ndarray | None:
        """The mesh that stays where it is when looked for again in its own region; None if there is none."""
        for _ in range(MOST_LOOKS):
            mesh, presence = face_mesh(frame, region, self._aspect)
            if presence < self._options.presence:
                return None
            before, region = region, FaceRegion.of_mesh(mesh, self._aspect)
            if region.side < SMALLEST_FACE:
                return None
            moved = max(abs(region.centre - before.centre).max(), abs(region.side - before.side)) / region.side
            if moved <= SETTLED:
                return mesh
        return None


def _box(mesh: np.ndarray) -> np.ndarray:
    return np.concatenate([mesh.min(0), mesh.max(0)])
