"""Finds known faces in the next frame, and makes the mesh converge on new ones."""

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

MIN_REGION_SIDE = 8.0  # pixels of a mesh's region; smaller ones are noise
MAX_REGION_CHANGE = 0.06  # region sides that a converged region may still move or grow by: an error of 0.4 %
MAX_MESH_ITERATIONS = 6  # after which the mesh counts as not converging
QUARTER_TURNS = tuple(np.pi / 2 * np.arange(4))  # radians
SEARCH_SCALE = 2.0  # sides of its region: the square in which a known face is searched
MIN_ROTATED_SCORE = 0.8  # minimum score of a rotated face; upright in the network's input, a face has 0.9
MIN_UPRIGHT_COSINE = 0.5  # cosine of the roll up to which a face is upright: 60 degrees
TRACKED_PRESENCE_FACTOR = 0.4  # times the presence option, for known faces: a hand over the mouth takes it to 0.3
TRACKED_SCORE_FACTOR = 0.6  # times the detector_score option, for known faces
MIN_MESH_IOU = 0.4  # intersection over union of a mesh's box with a detection of the same face
KEYPOINT_VERTICES = ((33, 133, 159, 145), (362, 263, 386, 374), (4,))  # mesh vertices at the detector's points
MAX_KEYPOINT_DISTANCE = 0.10  # face sizes between mesh and detector points: 0.02 if frontal, 0.2 to 0.4 if wrong
# The box at which a face is expected in its search square, in fractions of the square.
EXPECTED_BOX = 0.5 + np.array([-0.5, -0.5, 0.5, 0.5]) / (SEARCH_SCALE * REGION_SCALE)
MIN_EXPECTED_IOU = 0.2  # intersection over union of a detection with the expected box


def converged_meshes(frame: Frame, regions: Sequence[FaceRegion], presence: float) -> list[MeshDetection | None]:
    """Iterates mesh and region from each of `regions` until both stay in place; None where they don't converge."""
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
    """The converged mesh of each detected face; None where it doesn't converge, or converges on something else.

    Detector and mesh mistake a face that lies on its side for an upright one. Detection is therefore repeated in all
    four orientations, and the one with the highest score is used. Rotated faces need a high score: hair, eyes and a
    hand over the mouth resemble an upside-down face.
    """
    results: list[MeshDetection | None] = [None] * len(faces)
    squares: list[tuple[int, FaceRegion]] = []
    for number, face in enumerate(faces):
        square = FaceRegion.from_detection(face, frame.sample_aspect).scaled(SEARCH_SCALE)
        squares += [(number, FaceRegion(square.centre, square.side, square.angle + turn)) for turn in QUARTER_TURNS]
    best: dict[int, tuple[Detection, FaceRegion]] = {}
    for (number, square), detections in zip(
        squares, _detect_near(frame, [square for _, square in squares], options), strict=True
    ):
        for face in detections:
            roll = square.region_of(face).angle
            is_reliable = face.score >= MIN_ROTATED_SCORE or np.cos(roll) >= MIN_UPRIGHT_COSINE
            if not is_reliable or iou(face.box, EXPECTED_BOX) < MIN_EXPECTED_IOU:
                continue
            if number not in best or face.score > best[number][0].score:
                best[number] = face, square
    meshes = converged_meshes(frame, [square.region_of(face) for face, square in best.values()], options.presence)
    for (number, (face, square)), mesh in zip(best.items(), meshes, strict=True):
        if _matches_detection(mesh, square, [face], frame.sample_aspect):
            results[number] = mesh
    return results


def redetect_faces(frame: Frame, regions: Sequence[FaceRegion], options: FaceOptions) -> list[MeshDetection | None]:
    """The meshes of known faces, each expected in its region; None where a face isn't found.

    The mesh network tends to return a face wherever its region suggests one, so a mesh counts only if it has converged
    and matches a detection nearby. The square of that detection is rotated with the face, so that it may lie.
    """
    results: list[MeshDetection | None] = [None] * len(regions)
    squares = [region.scaled(SEARCH_SCALE) for region in regions]
    faces = _detect_near(frame, squares, options)
    retries: list[tuple[int, Detection, FaceRegion]] = []
    with_detections = [number for number, detections in enumerate(faces) if detections]
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
    """Tracks one face through consecutive frames; its state is the face's region in the previous one.

    It starts with the largest face; once that is lost, it continues with the detection that overlaps its last box, or
    else the largest face. To find all faces of a clip, use `tracking.find_tracks.track_faces`.
    """

    def __init__(self, options: FaceOptions) -> None:
        self._options = options
        self._region: FaceRegion | None = None  # in the previous frame; None if the face is lost
        self._last_box: np.ndarray | None = None  # where the face was last found

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
    """(4,) float64: x0, y0, x1, y1 of (n, 2 or more) points."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])


def _detect_near(frame: Frame, squares: Sequence[FaceRegion], options: FaceOptions) -> list[list[Detection]]:
    """The short-range detections in each square, in fractions of it."""
    size = load_network("blazeface_short").size
    pictures = [crop_region(frame, square, size, padding="zeros") for square in squares]
    inside = {number: picture for number, picture in enumerate(pictures) if picture is not None}
    faces: list[list[Detection]] = [[] for _ in squares]
    if inside:
        detections = detect_in_squares(
            torch.stack(list(inside.values())), options.detector_score * TRACKED_SCORE_FACTOR
        )
        for number, found in zip(inside, detections, strict=True):
            faces[number] = found
    return faces


def _matches_detection(
    mesh: MeshDetection | None, square: FaceRegion, faces: Sequence[Detection], aspect: float
) -> bool:
    """Whether a mesh agrees with one of the detections `faces` of a square in its box, eyes and nose.

    On a profile the mesh network places a frontal face on the cheek, while the detector still finds the nose.
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
