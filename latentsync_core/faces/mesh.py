"""The dense face mesh: 468 points of one face in a rotated square around it, as MediaPipe places that square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..frame import Frame
from ..types import Roi
from . import warp
from .detect import Detection
from .network import load_network

REGION_SCALE = 1.5  # side of the square, in the face box's longer sides
OUTER_EYE_CORNERS = (33, 263)  # mesh vertices on the picture's left and right
SAMPLES_PER_INPUT = 1.5  # pixels of the reduced frame per input pixel: fewer would blur, more cost time


@dataclass(frozen=True, eq=False)
class FaceRegion:
    """A rotated square around a face, in geometrically square pixels (x in displayed pixels times the aspect)."""

    centre: np.ndarray  # (2,) float64
    side: float  # pixels
    angle: float  # radians, clockwise in the picture, of the line through the eyes

    @classmethod
    def of_detection(cls, face: Detection, aspect: float = 1.0) -> FaceRegion:
        """The square around a detected box, turned so that the eyes are level."""
        stretch = np.array([aspect, 1.0])
        low, high = face.box[:2] * stretch, face.box[2:] * stretch
        across = (face.eyes[1] - face.eyes[0]) * stretch
        return cls((low + high) / 2, REGION_SCALE * float((high - low).max()), float(np.arctan2(across[1], across[0])))

    @classmethod
    def of_mesh(cls, points: np.ndarray, aspect: float = 1.0) -> FaceRegion:
        """The square around (468, 2) mesh points, for the next frame."""
        points = points * (aspect, 1.0)
        across = points[OUTER_EYE_CORNERS[1]] - points[OUTER_EYE_CORNERS[0]]
        angle = float(np.arctan2(across[1], across[0]))
        level = points @ _rotation(angle)  # turned back by the angle
        low, high = level.min(0), level.max(0)
        return cls(_rotation(angle) @ ((low + high) / 2), REGION_SCALE * float((high - low).max()), angle)


def face_mesh(frame: Frame, region: FaceRegion, aspect: float = 1.0) -> tuple[np.ndarray, float]:
    """Finds the mesh in `region`: (468, 2) float64 displayed pixels, and how surely there is a face, 0 to 1."""
    network = load_network("mesh468")
    picture = _cut(frame, region, network.size, aspect)
    if picture is None:
        return np.full((468, 2), np.nan), 0.0
    points, presence = network(picture[None])
    points = points.reshape(468, 3)[:, :2].numpy().astype(np.float64)
    offsets = (points / network.size - 0.5) * region.side
    places = region.centre + offsets @ _rotation(region.angle).T
    return places / (aspect, 1.0), float(presence.sigmoid())


def _rotation(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _cut(frame: Frame, region: FaceRegion, size: int, aspect: float) -> torch.Tensor | None:
    """The region as a level (3, size, size) picture in [0, 1], the frame's edge repeated beyond it; None if outside."""
    if not (np.isfinite(region.centre).all() and region.side > 0):
        return None
    pitch = region.side / size  # square pixels per input pixel
    linear = _rotation(region.angle) * pitch
    to_frame = np.column_stack([linear, region.centre - linear @ np.full(2, (size - 1) / 2)])
    to_frame[0] /= aspect
    roi = warp.bounds(to_frame, (0, 0, size - 1, size - 1), (frame.width, frame.height), margin=1)
    if roi is None:
        return None
    width, height = (
        min(length, max(1, round(length * stretch * SAMPLES_PER_INPUT / pitch)))
        for length, stretch in ((roi.width, aspect), (roi.height, 1.0))
    )
    reduced = frame.rgb(roi, None if (width, height) == (roi.width, roi.height) else (width, height))
    columns, rows = warp.positions(to_frame, Roi(0, 0, size, size))
    columns = (columns - roi.x0 + 0.5) * (width / roi.width) - 0.5
    rows = (rows - roi.y0 + 0.5) * (height / roi.height) - 0.5
    return warp.sample(reduced, columns, rows, padding="border")
