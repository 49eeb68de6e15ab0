"""Finds known faces again in the next frame, and settles the mesh on new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...video.frame import Frame
from ..detection.blazeface import Detection, detection_passes, faces_in_squares, overlap
from ..detection.face_mesh import MeshLook, face_meshes
from ..detection.layer_list import load_network
from ..detection.region import REGION_SCALE, FaceRegion, level_picture
from ..face_options import FaceOptions

SMALLEST_REGION = 8.0  # pixels of a mesh's region; anything less is noise
SETTLED = 0.06  # region sides that a region may move or grow by when the mesh in it is its own: costs 0.4 % of a side
MOST_LOOKS = 6  # at a face before it counts as not settling
QUARTERS = tuple(np.pi / 2 * np.arange(4))  # radians
NEARBY = 2.0  # sides of its region: the square in which a known face is looked for
LYING_SCORE = 0.8  # least score of a face that isn't upright; one that is seen the right way up has 0.9
UPRIGHT = 0.5  # cosine of the roll up to which a face is upright: 60 degrees
KNOWN_PRESENCE = 0.4  # of the usual presence is enough for a known face: a hand over the mouth takes it to 0.3
KNOWN_FACE = 0.6  # of the usual score is enough to find a known face again
AGREEMENT = 0.4  # intersection over union of a mesh's box with a detection of the same face
EYES_AND_NOSE = ((33, 133, 159, 145), (362, 263, 386, 374), (4,))  # mesh vertices where the detector has its points
SAME_POINTS = 0.10  # of a face that mesh and detector may be apart there: 0.02 from the front, 0.2 to 0.4 if wrong
EXPECTED = np.array([0.5, 0.5, 0.5, 0.5]) + np.array([-0.5, -0.5, 0.5, 0.5]) / (NEARBY * REGION_SCALE)  # its box there
SAME_FACE = 0.2  # the same, of a detection with the box where the face is expected


def settled_meshes(
    frame: Frame, regions: Sequence[FaceRegion], presence: float, aspect: float = 1.0
) -> list[MeshLook | None]:
    """The meshes that stay where they are when looked for again in their own regions; None where there is none."""
    results: list[MeshLook | None] = [None] * len(regions)
    open_looks = dict(enumerate(regions))
    for _ in range(MOST_LOOKS):
        if not open_looks:
            break
        looks = face_meshes(frame, list(open_looks.values()), aspect)
        for (number, before), look in zip(list(open_looks.items()), looks, strict=True):
            del open_looks[number]
            if not look.presence >= presence:  # NaN too
                continue
            region = FaceRegion.of_mesh(look.points, aspect)
            if region.side < SMALLEST_REGION:
                continue
            moved = max(abs(region.centre - before.centre).max(), abs(region.side - before.side)) / region.side
            if moved <= SETTLED:
                results[number] = look
            else:
                open_looks[number] = region
    return results


def meshes_of(
    frame: Frame, faces: Sequence[Detection], options: FaceOptions, aspect: float = 1.0
) -> list[MeshLook | None]:
    """The settled mesh of each detected face; None where there is none, or it settles on something else.

    A detector takes a face that lies on its side for an upright one, and so does the mesh. Each face is therefore
    looked at again from all four sides, and the one from which it looks most like a face is taken. One that lies must
    look very much like a face: hair, eyes and a hand over the mouth look a little like one upside down.
    """
    results: list[MeshLook | None] = [None] * len(faces)
    squares: list[tuple[int, FaceRegion]] = []
    for number, face in enumerate(faces):
        square = FaceRegion.of_detection(face, aspect).grown(NEARBY)
        squares += [(number, FaceRegion(square.centre, square.side, square.angle + turn)) for turn in QUARTERS]
    best: dict[int, tuple[Detection, FaceRegion]] = {}
    for (number, square), seen in zip(
        squares, _faces_near(frame, [square for _, square in squares], options, aspect), strict=True
    ):
        for face in seen:
            roll = square.of_square(face).angle
            sure = face.score >= LYING_SCORE or np.cos(roll) >= UPRIGHT
            if not sure or overlap(face.box, EXPECTED) < SAME_FACE:
                continue
            if number not in best or face.score > best[number][0].score:
                best[number] = face, square
    looks = settled_meshes(frame, [square.of_square(face) for face, square in best.values()], options.presence, aspect)
    for (number, (face, square)), look in zip(best.items(), looks, strict=True):
        if _agrees(look, square, [face], aspect):
            results[number] = look
    return results


def follow(
    frame: Frame, regions: Sequence[FaceRegion], options: FaceOptions, aspect: float = 1.0
) -> list[MeshLook | None]:
    """Known faces in a frame in which each is expected in its region; None where it isn't found.

    The mesh network sees what its region suggests, so a mesh counts only once its own region has settled around it and
    a detection, looked for nearby, agrees with it. The square for that is turned with the face, so that it may lie.
    """
    results: list[MeshLook | None] = [None] * len(regions)
    squares = [region.grown(NEARBY) for region in regions]
    faces = _faces_near(frame, squares, options, aspect)
    again: list[tuple[int, Detection, FaceRegion]] = []
    asked = [number for number, seen in enumerate(faces) if seen]
    looks = settled_meshes(frame, [regions[number] for number in asked], options.presence * KNOWN_PRESENCE, aspect)
    for number, look in zip(asked, looks, strict=True):
        if _agrees(look, squares[number], faces[number], aspect):
            results[number] = look
            continue
        face = max(faces[number], key=lambda face: overlap(face.box, EXPECTED))
        if overlap(face.box, EXPECTED) >= SAME_FACE:
            again.append((number, face, squares[number].of_square(face)))
    looks = settled_meshes(frame, [region for _, _, region in again], options.presence * KNOWN_PRESENCE, aspect)
    for (number, face, _), look in zip(again, looks, strict=True):
        if _agrees(look, squares[number], [face], aspect):
            results[number] = look
    return results


class FaceFollower:
    """Finds one face in frame after frame; its state is where that was in the frame before.

    The largest face is taken up first; once it is lost, the detection that overlaps its last place, or else the
    largest face. For all faces of a clip there is `latentsync_core.faces.tracking.find_tracks.prepare_faces`.
    """

    def __init__(self, options: FaceOptions, aspect: float = 1.0) -> None:
        self._options = options
        self._aspect = aspect
        self._region: FaceRegion | None = None  # of the frame before; None when the face is lost
        self._last_box: np.ndarray | None = None  # where it was last seen

    def find(self, frame: Frame) -> np.ndarray | None:
        """The face's (468, 2) mesh points in displayed pixels, or None where there is no face."""
        look = None
        if self._region is not None:
            look = follow(frame, [self._region], self._options, self._aspect)[0]
        if look is None:
            look = self._search(frame)
        if look is None:
            self._region = None
            return None
        self._region = FaceRegion.of_mesh(look.points, self._aspect)
        self._last_box = box_of(look.points)
        return look.points[:, :2]

    def _search(self, frame: Frame) -> MeshLook | None:
        options = self._options
        for faces in detection_passes(frame, options.detector_score, self._aspect, options.smallest):
            for face in sorted(faces, key=self._is_same, reverse=True):
                look = meshes_of(frame, [face], options, self._aspect)[0]
                if look is not None:
                    return look
        return None

    def _is_same(self, face: Detection) -> bool:
        return self._last_box is not None and overlap(self._last_box, face.box) > SAME_FACE


def box_of(points: np.ndarray) -> np.ndarray:
    """(4,) float64: x0, y0, x1, y1 of mesh points."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])


def _faces_near(
    frame: Frame, squares: Sequence[FaceRegion], options: FaceOptions, aspect: float
) -> list[list[Detection]]:
    """What the detector sees in each square, in fractions of it."""
    size = load_network("blazeface_short").size
    pictures = [level_picture(frame, square, size, aspect, padding="zeros") for square in squares]
    there = [number for number, picture in enumerate(pictures) if picture is not None]
    faces: list[list[Detection]] = [[] for _ in squares]
    if there:
        seen = faces_in_squares(
            torch.stack([pictures[number] for number in there]), options.detector_score * KNOWN_FACE
        )
        for number, found in zip(there, seen, strict=True):
            faces[number] = found
    return faces


def _agrees(look: MeshLook | None, square: FaceRegion, faces: Sequence[Detection], aspect: float) -> bool:
    """Whether a mesh lies where the detector sees one of the `faces` of a square, with eyes and nose where it has them.

    On a profile the mesh sees a face from the front on the cheek; the detector knows where the nose is.
    """
    if look is None:
        return False
    points = square.level(look.points, aspect)
    box = box_of(points)
    places = np.array([points[list(vertices)].mean(0) for vertices in EYES_AND_NOSE])
    furthest = SAME_POINTS * (box[2:] - box[:2]).max()
    return any(
        overlap(box, face.box) >= AGREEMENT and np.linalg.norm(places - face.points, axis=1).mean() <= furthest
        for face in faces
    )
