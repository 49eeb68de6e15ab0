"""Tracks all faces of a clip from frame to frame, and new ones back to their first frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from ...video.frame import Frame
from ..detection.blazeface import Detection, iou
from ..detection.face_mesh import MeshDetection
from ..face_options import FaceOptions
from .redetect import bounding_box, meshes_of_detections, redetect_faces
from .tracklet import Tracklet, embed_meshes

KNOWN_FACE_IOU = 0.25  # intersection over union with a known face from which a detection is that face
DUPLICATE_IOU = 0.35  # the same, of two meshes that lie on one face
MAX_EMBEDDING_DISTANCE = 0.6  # between embeddings, up to which a face that was lost or jumped is the same one
MIN_DISTANCE_MARGIN = 0.1  # by which another face's embedding must be nearer for a mesh to be that face
MAX_JUMP = 0.3  # face sizes from the expected position; beyond it the identity is verified
MAX_SIZE_RATIO = 1.3  # of a face's sizes in two frames; beyond it the identity is verified
MAX_NEIGHBOR_GAP = 0.4  # face sizes between two faces that may be confused
IDENTITY_CHECK_INTERVAL = 4  # frames between identity checks of faces that are near but don't touch
REACQUISITION_IOU = 0.2  # intersection over union of a new face with the predicted box of a lost one


class Tracker:
    """Multi-face tracker, to be fed the frames of a clip in order.

    Whenever two faces come near each other, or one reappears or jumps, its embedding is compared with its own earlier
    ones and with the others'. If its identity is uncertain, the track ends and a new one starts; clustering rejoins
    them.
    """

    def __init__(self, options: FaceOptions, history: int) -> None:
        self._options = options
        self._history: deque[tuple[int, Frame]] = deque(maxlen=history)  # of this shot
        self._active: list[Tracklet] = []
        self._finished: list[Tracklet] = []

    @property
    def has_visible_face(self) -> bool:
        """Whether a face was found in the last frame."""
        return any(not face.missed_frames for face in self._active)

    def cut(self) -> None:
        """Ends all tracks: a new shot begins."""
        self._finished += self._active
        self._active = []
        self._history.clear()

    def finish(self) -> list[Tracklet]:
        """Ends all tracks and returns them."""
        self.cut()
        return self._finished

    def step(self, index: int, frame: Frame) -> None:
        """Tracks the known faces into the clip's frame `index`."""
        known = self._active
        meshes = redetect_faces(frame, [face.predicted() for face in known], self._options)
        own = self._verify_identities(index, frame, known, meshes)
        self._active = []
        for face, mesh, is_own in zip(known, meshes, own, strict=True):
            if mesh is not None and is_own:
                face.add(index, frame, mesh)
            else:
                face.missed_frames += 1
            if face.missed_frames > self._options.max_gap:
                self._finished.append(face)
            else:
                self._active.append(face)

    def start_tracks(self, index: int, frame: Frame, found: Sequence[Detection]) -> None:
        """Starts tracks of the faces detected in frame `index` that aren't known; call `step` with that frame first."""
        boxes = [face.box for face in self._active if not face.missed_frames]
        new = [face for face in found if all(iou(face.box, box) < KNOWN_FACE_IOU for box in boxes)]
        meshes = meshes_of_detections(frame, new, self._options)
        for mesh in meshes:
            if mesh is None:
                continue
            box = bounding_box(mesh.points)
            if any(iou(box, other) >= KNOWN_FACE_IOU for other in boxes):
                continue
            boxes.append(box)
            face = self._reacquired(frame, mesh)
            if face is not None:
                face.add(index, frame, mesh)
                continue
            face = Tracklet(index, frame, mesh)
            self._follow_back(face)
            self._active.append(face)

    def buffer(self, index: int, frame: Frame) -> None:
        """Keeps a processed frame, so that new faces can be tracked back into it."""
        self._history.append((index, frame))

    def _follow_back(self, face: Tracklet) -> None:
        region, step = face.region, np.zeros(2)
        for index, frame in reversed(self._history):
            predicted = type(region)(region.centre + step, region.side, region.angle)
            mesh = redetect_faces(frame, [predicted], self._options)[0]
            if mesh is None:
                return
            box = bounding_box(mesh.points)
            others = (other.box_at(index) for other in [*self._active, *self._recent(index)])
            if any(other is not None and iou(other, box) >= KNOWN_FACE_IOU for other in others):
                return
            previous = region
            face.add(index, frame, mesh)
            region = type(region).from_mesh(mesh.points, frame.sample_aspect)
            step = region.centre - previous.centre
            if np.abs(step).max() > MAX_JUMP * region.side:
                return

    def _recent(self, index: int) -> list[Tracklet]:
        """Finished faces that may have been visible in frame `index` or later."""
        recent = []
        for face in reversed(self._finished):
            if face.last < index - self._options.max_gap - len(self._history):
                break
            recent.append(face)
        return recent

    def _reacquired(self, frame: Frame, mesh: MeshDetection) -> Tracklet | None:
        """The missing face that a new mesh belongs to, if any."""
        box = bounding_box(mesh.points)
        candidates = [
            face
            for face in self._active
            if face.missed_frames
            and iou(box, face.predicted_box()) >= REACQUISITION_IOU
            and not _size_changed(face.box, box)
        ]
        if not candidates:
            return None
        embedding = embed_meshes(frame, [mesh])[0]
        nearest = min(candidates, key=lambda face: _nan_to_inf(face.distance(embedding)))
        return nearest if nearest.distance(embedding) <= MAX_EMBEDDING_DISTANCE else None

    def _verify_identities(
        self, index: int, frame: Frame, known: Sequence[Tracklet], meshes: Sequence[MeshDetection | None]
    ) -> list[bool]:
        """(faces,) whether each mesh belongs to its face rather than to another one."""
        own = [mesh is not None for mesh in meshes]
        boxes = [
            bounding_box(mesh.points) if mesh is not None else face.predicted_box()
            for face, mesh in zip(known, meshes, strict=True)
        ]
        suspects = {
            number: self._identity_risk(index, number, known, boxes) for number in range(len(known)) if own[number]
        }
        suspects = {number: risk for number, risk in suspects.items() if risk}
        if not suspects:
            return own
        found = {number: mesh for number, mesh in enumerate(meshes) if mesh is not None}
        embeddings = dict(zip(suspects, embed_meshes(frame, [found[number] for number in suspects]), strict=True))
        distances = {number: known[number].distance(embeddings[number]) for number in suspects}
        for number, risk in suspects.items():
            others = [
                _nan_to_inf(other.distance(embeddings[number]))
                for place, other in enumerate(known)
                if place != number and _near(boxes[place], boxes[number])
            ]
            nearest = min(others, default=np.inf)
            distance = _nan_to_inf(distances[number])
            if nearest + MIN_DISTANCE_MARGIN < distance or (risk == "uncertain" and distance > MAX_EMBEDDING_DISTANCE):
                own[number] = False
        for number in suspects:
            for other in suspects:
                if other < number and own[number] and own[other] and iou(boxes[number], boxes[other]) >= DUPLICATE_IOU:
                    worse = number if _nan_to_inf(distances[number]) >= _nan_to_inf(distances[other]) else other
                    own[worse] = False
        return own

    def _identity_risk(self, index: int, number: int, known: Sequence[Tracklet], boxes: Sequence[np.ndarray]) -> str:
        """Why its identity needs a check: "uncertain" after a gap or jump, "near" beside another face; "" if not."""
        face, box = known[number], boxes[number]
        predicted = face.predicted_box()
        size = max(float((predicted[2:] - predicted[:2]).max()), 1.0)
        offset = float(np.abs((box[:2] + box[2:] - predicted[:2] - predicted[2:]) / 2).max())
        if face.missed_frames or offset > MAX_JUMP * size or _size_changed(face.box, box):
            return "uncertain"
        others = [other for place, other in enumerate(boxes) if place != number]
        if any(iou(box, other) > 0 for other in others):
            return "near"
        if index % IDENTITY_CHECK_INTERVAL == 0 and any(_near(box, other) for other in others):
            return "near"
        return ""


def _near(first: np.ndarray, second: np.ndarray) -> bool:
    margin = MAX_NEIGHBOR_GAP * max(float((box[2:] - box[:2]).max()) for box in (first, second))
    return bool((first[:2] - margin < second[2:]).all() and (second[:2] - margin < first[2:]).all())


def _size_changed(before: np.ndarray, after: np.ndarray) -> bool:
    sizes = [max(float((box[2:] - box[:2]).max()), 1e-6) for box in (before, after)]
    return max(sizes) > MAX_SIZE_RATIO * min(sizes)


def _nan_to_inf(distance: float) -> float:
    return np.inf if np.isnan(distance) else distance
