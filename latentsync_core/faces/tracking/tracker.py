"""Follows every face of a clip from frame to frame, and takes up new ones back to where they appeared."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from ...video.frame import Frame
from ..detection.blazeface import Detection, overlap
from ..detection.face_mesh import MeshLook
from ..face_options import FaceOptions
from .redetect import box_of, follow, meshes_of
from .tracklet import Tracklet, embeddings

COVERED = 0.25  # intersection over union with a known face from which a detection is of that face
ONE_FACE = 0.35  # the same, of two meshes that lie on one face
ALIKE = 0.6  # distance of embeddings up to which a face that was lost, or jumped, is the same one
UNLIKE = 0.1  # by how much nearer another face must be for this one to be that
JUMP = 0.3  # face sizes from where a face was expected: it may have become another
GROWTH = 1.3  # times as large or small as before: the same
NEAR = 0.4  # face sizes between two faces that might be taken for each other
CHECK_EVERY = 4  # frames between two looks at who is who of faces that are near but don't touch
REJOIN = 0.2  # intersection over union of a face found again with where a lost one should be


class Tracker:
    """The faces being followed; fed the frames of a clip in order.

    Whenever two faces come near each other, one is found again or jumps, its embedding is compared with its own earlier
    ones and the others'. In doubt a face ends and a new one begins: people are told apart afterwards.
    """

    def __init__(self, options: FaceOptions, aspect: float, look_back: int) -> None:
        self._options = options
        self._aspect = aspect
        self._past: deque[tuple[int, Frame]] = deque(maxlen=look_back)  # of this shot
        self._open: list[Tracklet] = []
        self._done: list[Tracklet] = []

    @property
    def sees_something(self) -> bool:
        """Whether a face was seen in the last frame."""
        return any(not face.missing for face in self._open)

    def cut(self) -> None:
        """A new shot begins: all faces end."""
        self._done += self._open
        self._open = []
        self._past.clear()

    def finish(self) -> list[Tracklet]:
        """All faces of the clip."""
        self.cut()
        return self._done

    def step(self, index: int, frame: Frame) -> None:
        """Follows the known faces into the clip's frame `index`."""
        known = self._open
        looks = follow(frame, [face.expected() for face in known], self._options, self._aspect)
        own = self._checked(index, frame, known, looks)
        self._open = []
        for face, look, is_own in zip(known, looks, own, strict=True):
            if look is not None and is_own:
                face.add(index, frame, look)
            else:
                face.missing += 1
            if face.missing > self._options.longest_gap:
                self._done.append(face)
            else:
                self._open.append(face)

    def take_up(self, index: int, frame: Frame, found: Sequence[Detection]) -> None:
        """Takes up the faces detected in frame `index` that aren't known, after `step` with the same frame."""
        boxes = [face.box for face in self._open if not face.missing]
        new = [face for face in found if all(overlap(face.box, box) < COVERED for box in boxes)]
        looks = meshes_of(frame, new, self._options, self._aspect)
        for look in looks:
            if look is None:
                continue
            box = box_of(look.points)
            if any(overlap(box, other) >= COVERED for other in boxes):
                continue
            boxes.append(box)
            face = self._lost_one(frame, look)
            if face is not None:
                face.add(index, frame, look)
                continue
            face = Tracklet(self._aspect)
            face.add(index, frame, look)
            self._follow_back(face)
            self._open.append(face)

    def passed(self, index: int, frame: Frame) -> None:
        """Keeps a frame that is done with, to follow faces back into it."""
        self._past.append((index, frame))

    def _follow_back(self, face: Tracklet) -> None:
        region, step = face.region, np.zeros(2)
        for index, frame in reversed(self._past):
            expected = type(region)(region.centre + step, region.side, region.angle)
            look = follow(frame, [expected], self._options, self._aspect)[0]
            if look is None:
                return
            box = box_of(look.points)
            others = (other.box_at(index) for other in [*self._open, *self._recent(index)])
            if any(other is not None and overlap(other, box) >= COVERED for other in others):
                return
            before = region
            face.add(index, frame, look)
            region = type(region).of_mesh(look.points, self._aspect)
            step = region.centre - before.centre
            if np.abs(step).max() > JUMP * region.side:
                return

    def _recent(self, index: int) -> list[Tracklet]:
        """Faces that ended in or after frame `index`."""
        recent = []
        for face in reversed(self._done):
            if face.last < index - self._options.longest_gap - len(self._past):
                break
            recent.append(face)
        return recent

    def _lost_one(self, frame: Frame, look: MeshLook) -> Tracklet | None:
        """Which of the faces that are missing was found again, if any."""
        box = box_of(look.points)
        likely = [
            face
            for face in self._open
            if face.missing and overlap(box, face.expected_box()) >= REJOIN and not _grew(face.box, box)
        ]
        if not likely:
            return None
        seen = embeddings(frame, [look], self._aspect)[0]
        nearest = min(likely, key=lambda face: _or_far(face.distance(seen)))
        return nearest if nearest.distance(seen) <= ALIKE else None

    def _checked(
        self, index: int, frame: Frame, known: Sequence[Tracklet], looks: Sequence[MeshLook | None]
    ) -> list[bool]:
        """Whether each look is at the face itself, not at another."""
        own = [look is not None for look in looks]
        boxes = [
            box_of(look.points) if look is not None else face.expected_box()
            for face, look in zip(known, looks, strict=True)
        ]
        suspects = {number: self._suspicion(index, number, known, boxes) for number in range(len(known)) if own[number]}
        suspects = {number: suspicion for number, suspicion in suspects.items() if suspicion}
        if not suspects:
            return own
        seen = dict(zip(suspects, embeddings(frame, [looks[number] for number in suspects], self._aspect), strict=True))
        away = {number: known[number].distance(seen[number]) for number in suspects}
        for number, suspicion in suspects.items():
            others = [
                _or_far(other.distance(seen[number]))
                for place, other in enumerate(known)
                if place != number and _near(boxes[place], boxes[number])
            ]
            nearest = min(others, default=np.inf)
            distance = _or_far(away[number])
            if nearest + UNLIKE < distance or (suspicion == "doubtful" and distance > ALIKE):
                own[number] = False
        for number in suspects:
            for other in suspects:
                if other < number and own[number] and own[other] and overlap(boxes[number], boxes[other]) >= ONE_FACE:
                    own[number if _or_far(away[number]) >= _or_far(away[other]) else other] = False
        return own

    def _suspicion(self, index: int, number: int, known: Sequence[Tracklet], boxes: Sequence[np.ndarray]) -> str:
        """Empty for a face that is surely itself, "near" if another may be taken for it, or "doubtful"."""
        face, box = known[number], boxes[number]
        expected = face.expected_box()
        size = max(float((expected[2:] - expected[:2]).max()), 1.0)
        away = float(np.abs((box[:2] + box[2:] - expected[:2] - expected[2:]) / 2).max())
        if face.missing or away > JUMP * size or _grew(face.box, box):
            return "doubtful"
        others = [other for place, other in enumerate(boxes) if place != number]
        if any(overlap(box, other) > 0 for other in others):
            return "near"
        if index % CHECK_EVERY == 0 and any(_near(box, other) for other in others):
            return "near"
        return ""


def _near(first: np.ndarray, second: np.ndarray) -> bool:
    margin = NEAR * max(float((box[2:] - box[:2]).max()) for box in (first, second))
    return bool((first[:2] - margin < second[2:]).all() and (second[:2] - margin < first[2:]).all())


def _grew(before: np.ndarray, after: np.ndarray) -> bool:
    sizes = [max(float((box[2:] - box[:2]).max()), 1e-6) for box in (before, after)]
    return max(sizes) > GROWTH * min(sizes)


def _or_far(distance: float) -> float:
    return np.inf if np.isnan(distance) else distance
