"""Finds known faces again in the next frame, and settles the mesh on new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...video.frame import Frame
from ..detection.blazeface import Detection, detect_in_squares, detection_passes, iou
from ..detection.face_mesh import MeshDetection, face_meshes
from ..detection.layer_list import load_network
from ..detection.region import REGION_SCALE, FaceRegion, crop_region
from ..face_options import FaceOptions

MIN_REGION_SIDE = 8.0  # pixels of a mesh's region; anything less is noise
MAX_REGION_CHANGE = 0.06  # region sides that a converged region may move or grow by: costs 0.4 % of a side
MAX_MESH_ITERATIONS = 6  # at a face before it counts as not settling
QUARTER_TURNS = tuple(np.pi / 2 * np.arange(4))  # radians
SEARCH_SCALE = 2.0  # sides of its region: the square in which a known face is looked for
MIN_ROTATED_SCORE = 0.8  # least score of a face that isn't upright; one that is seen the right way up has 0.9
MIN_UPRIGHT_COSINE = 0.5  # cosine of the roll up to which a face is upright: 60 degrees
TRACKED_PRESENCE_FACTOR = 0.4  # of the usual presence is enough for a known face: a hand over the mouth takes it to 0.3
TRACKED_SCORE_FACTOR = 0.6  # of the usual score is enough to find a known face again
MIN_MESH_IOU = 0.4  # intersection over union of a mesh's box with a detection of the same face
KEYPOINT_VERTICES = ((33, 133, 159, 145), (362, 263, 386, 374), (4,))  # mesh vertices where the detector has its points
MAX_KEYPOINT_DISTANCE = 0.10  # face sizes between mesh and detector points: 0.02 from the front, 0.2 to 0.4 if wrong
EXPECTED_BOX = np.array([0.5, 0.5, 0.5, 0.5]) + np.array([-0.5, -0.5, 0.5, 0.5]) / (
    SEARCH_SCALE * REGION_SCALE
)  # its box there
MIN_EXPECTED_IOU = 0.2  # the same, of a detection with the box where the face is expected


def converged_meshes(frame: Frame, regions: Sequence[FaceRegion], presence: float) -> list[MeshDetection | None]:
    """The meshes that stay where they are when looked for again in their own regions; None where there is none."""
    results: list[MeshDetection | None] = [None] * len(regions)
    pending = dict(enumerate(regions))
    for _ in range(MAX_MESH_ITERATIONS):
        if not pending:
            break
        meshes = face_meshes(frame, list(pending.values()))
        for (number, before), mesh in zip(list(pending.items()), meshes, strict=True):
            del pending[number]
            if not mesh.presence >= presence:  # NaN too
                continue
            region = FaceRegion.from_mesh(mesh.points, frame.sample_aspect)
            if region.side < MIN_REGION_SIDE:
                continue
            moved = max(abs(region.centre - before.centre).max(), abs(region.side - before.side)) / region.side
            if moved <= MAX_REGION_CHANGE:
                results[number] = mesh
            else:
                pending[number] = region
    return results


def meshes_of_detections(frame: Frame, faces: Sequence[Detection], options: FaceOptions) -> list[MeshDetection | None]:
    """The settled mesh of each detected face; None where there is none, or it settles on something else.

    A detector takes a face that lies on its side for an upright one, and so does the mesh. Each face is therefore
    looked at again from all four sides, and the one from which it looks most like a face is taken. One that lies must
    look very much like a face: hair, eyes and a hand over the mouth look a little like one upside down.
    """
    results: list[MeshDetection | None] = [None] * len(faces)
    squares: list[tuple[int, FaceRegion]] = []
    for number, face in enumerate(faces):
        square = FaceRegion.from_detection(face, frame.sample_aspect).scaled(SEARCH_SCALE)
        squares += [(number, FaceRegion(square.centre, square.side, square.angle + turn)) for turn in QUARTER_TURNS]
    best: dict[int, tuple[Detection, FaceRegion]] = {}
    for (number, square), seen in zip(
        squares, _detect_near(frame, [square for _, square in squares], options), strict=True
    ):
        for face in seen:
            roll = square.region_of(face).angle
            sure = face.score >= MIN_ROTATED_SCORE or np.cos(roll) >= MIN_UPRIGHT_COSINE
            if not sure or iou(face.box, EXPECTED_BOX) < MIN_EXPECTED_IOU:
                continue
            if number not in best or face.score > best[number][0].score:
                best[number] = face, square
    meshes = converged_meshes(frame, [square.region_of(face) for face, square in best.values()], options.presence)
    for (number, (face, square)), mesh in zip(best.items(), meshes, strict=True):
        if _matches_detection(mesh, square, [face], frame.sample_aspect):
            results[number] = mesh
    return results


def redetect_faces(frame: Frame, regions: Sequence[FaceRegion], options: FaceOptions) -> list[MeshDetection | None]:
    """Known faces in a frame in which each is expected in its region; None where it isn't found.

    The mesh network sees what its region suggests, so a mesh counts only once its own region has settled around it and
    a detection, looked for nearby, agrees with it. The square for that is turned with the face, so that it may lie.
    """
    results: list[MeshDetection | None] = [None] * len(regions)
    squares = [region.scaled(SEARCH_SCALE) for region in regions]
    faces = _detect_near(frame, squares, options)
    retries: list[tuple[int, Detection, FaceRegion]] = []
    with_detections = [number for number, seen in enumerate(faces) if seen]
    meshes = converged_meshes(
        frame, [regions[number] for number in with_detections], options.presence * TRACKED_PRESENCE_FACTOR
    )
    for number, mesh in zip(with_detections, meshes, strict=True):
        if _matches_detection(mesh, squares[number], faces[number], frame.sample_aspect):
            results[number] = mesh
            continue
        face = max(faces[number], key=lambda face: iou(face.box, EXPECTED_BOX))
        if iou(face.box, EXPECTED_BOX) >= MIN_EXPECTED_IOU:
            retries.append((number, face, squares[number].region_of(face)))
    meshes = converged_meshes(frame, [region for _, _, region in retries], options.presence * TRACKED_PRESENCE_FACTOR)
    for (number, face, _), mesh in zip(retries, meshes, strict=True):
        if _matches_detection(mesh, squares[number], [face], frame.sample_aspect):
            results[number] = mesh
    return results


class SingleFaceTracker:
    """Finds one face in frame after frame; its state is where that was in the frame before.

    The largest face is taken up first; once it is lost, the detection that overlaps its last place, or else the
    largest face. For all faces of a clip there is `latentsync_core.faces.tracking.find_tracks.prepare_faces`.
    """

    def __init__(self, options: FaceOptions) -> None:
        self._options = options
        self._region: FaceRegion | None = None  # of the frame before; None when the face is lost
        self._last_box: np.ndarray | None = None  # where it was last seen

    def find(self, frame: Frame) -> np.ndarray | None:
        """The face's (468, 2) mesh points in displayed pixels, or None where there is no face."""
        mesh = None
        if self._region is not None:
            mesh = redetect_faces(frame, [self._region], self._options)[0]
        if mesh is None:
            mesh = self._search(frame)
        if mesh is None:
            self._region = None
            return None
        self._region = FaceRegion.from_mesh(mesh.points, frame.sample_aspect)
        self._last_box = bounding_box(mesh.points)
        return mesh.points[:, :2]

    def _search(self, frame: Frame) -> MeshDetection | None:
        options = self._options
        for faces in detection_passes(frame, options.detector_score, options.min_size):
            for face in sorted(faces, key=self._is_same, reverse=True):
                mesh = meshes_of_detections(frame, [face], options)[0]
                if mesh is not None:
                    return mesh
        return None

    def _is_same(self, face: Detection) -> bool:
        return self._last_box is not None and iou(self._last_box, face.box) > MIN_EXPECTED_IOU


def bounding_box(points: np.ndarray) -> np.ndarray:
    """(4,) float64: x0, y0, x1, y1 of mesh points."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])


def _detect_near(frame: Frame, squares: Sequence[FaceRegion], options: FaceOptions) -> list[list[Detection]]:
    """What the detector sees in each square, in fractions of it."""
    size = load_network("blazeface_short").size
    pictures = [crop_region(frame, square, size, padding="zeros") for square in squares]
    there = [number for number, picture in enumerate(pictures) if picture is not None]
    faces: list[list[Detection]] = [[] for _ in squares]
    if there:
        seen = detect_in_squares(
            torch.stack([pictures[number] for number in there]), options.detector_score * TRACKED_SCORE_FACTOR
        )
        for number, found in zip(there, seen, strict=True):
            faces[number] = found
    return faces


def _matches_detection(
    mesh: MeshDetection | None, square: FaceRegion, faces: Sequence[Detection], aspect: float
) -> bool:
    """Whether a mesh lies where the detector sees one of the `faces` of a square, with eyes and nose where it has them.

    On a profile the mesh sees a face from the front on the cheek; the detector knows where the nose is.
    """
    if mesh is None:
        return False
    points = square.to_square(mesh.points, aspect)
    box = bounding_box(points)
    places = np.array([points[list(vertices)].mean(0) for vertices in KEYPOINT_VERTICES])
    max_distance = MAX_KEYPOINT_DISTANCE * (box[2:] - box[:2]).max()
    return any(
        iou(box, face.box) >= MIN_MESH_IOU and np.linalg.norm(places - face.points, axis=1).mean() <= max_distance
        for face in faces
    )
