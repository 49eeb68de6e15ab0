"""A rotated square around a face, and its upright crop for a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ...imaging import affine
from ...imaging.roi import Roi
from ...video.frame import Frame
from ...video.reading.halving import reduced_part
from .blazeface import Detection

REGION_SCALE = 1.5  # side of the square, relative to the longer side of the face's box
OUTER_EYE_CORNERS = (33, 263)  # mesh vertices on the picture's left and right


@dataclass(frozen=True, eq=False)
class FaceRegion:
    """A rotated square around a face, in geometrically square pixels (x in displayed pixels times the aspect)."""

    centre: np.ndarray  # (2,) float64
    side: float  # pixels
    angle: float  # radians, clockwise in the picture, of the line through the eyes

    @classmethod
    def from_detection(cls, face: Detection, aspect: float = 1.0) -> FaceRegion:
        """The square around a detected box, rotated so that the eyes are level."""
        stretch = np.array([aspect, 1.0])
        low, high = face.box[:2] * stretch, face.box[2:] * stretch
        return cls._enclosing((low + high) / 2, high - low, (face.eyes[1] - face.eyes[0]) * stretch)

    @classmethod
    def from_box(cls, box: np.ndarray, roll: float, aspect: float = 1.0) -> FaceRegion:
        """Approximately the square around a mesh, from its (4,) box and roll in degrees."""
        low, high = box[:2].astype(np.float64) * (aspect, 1.0), box[2:].astype(np.float64) * (aspect, 1.0)
        return cls((low + high) / 2, REGION_SCALE * float((high - low).max()), float(np.radians(roll)))

    @classmethod
    def from_mesh(cls, points: np.ndarray, aspect: float = 1.0) -> FaceRegion:
        """The square around (468, 2 or more) mesh points, for the next frame."""
        points = points[:, :2] * (aspect, 1.0)
        across = points[OUTER_EYE_CORNERS[1]] - points[OUTER_EYE_CORNERS[0]]
        angle = float(np.arctan2(across[1], across[0]))
        level = points @ rotation(angle)  # rotated back by the angle
        low, high = level.min(0), level.max(0)
        return cls(rotation(angle) @ ((low + high) / 2), REGION_SCALE * float((high - low).max()), angle)

    @classmethod
    def _enclosing(cls, centre: np.ndarray, size: np.ndarray, across: np.ndarray) -> FaceRegion:
        return cls(centre, REGION_SCALE * float(size.max()), float(np.arctan2(across[1], across[0])))

    def region_of(self, face: Detection) -> FaceRegion:
        """The region of a face whose box and eyes are given as fractions of this square."""
        low, high = face.box[:2], face.box[2:]
        region = self._enclosing((low + high) / 2, high - low, face.eyes[1] - face.eyes[0])
        centre = self.centre + rotation(self.angle) @ (region.centre - 0.5) * self.side
        return FaceRegion(centre, region.side * self.side, region.angle + self.angle)

    def to_square(self, points: np.ndarray, aspect: float = 1.0) -> np.ndarray:
        """(n, 2 or more) displayed pixels → (n, 2) in this square: 0 to 1 from its left and top edge."""
        return (points[:, :2] * (aspect, 1.0) - self.centre) @ rotation(self.angle) / self.side + 0.5

    def scaled(self, factor: float) -> FaceRegion:
        return FaceRegion(self.centre, self.side * factor, self.angle)


def rotation(angle: float) -> np.ndarray:
    """(2, 2): rotates column vectors clockwise in the picture by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def crop_region(frame: Frame, region: FaceRegion, size: int, padding: str = "border") -> torch.Tensor | None:
    """The region as an upright (3, size, size) picture in [0, 1]; None if it lies outside the frame.

    Beyond the frame the padding "border" repeats its edge, "zeros" is black.
    """
    if not (np.isfinite(region.centre).all() and 0 < region.side < 2**30):
        return None
    pitch = region.side / size  # square pixels per input pixel
    linear = rotation(region.angle) * pitch
    to_frame = np.column_stack([linear, region.centre - linear @ np.full(2, (size - 1) / 2)])
    to_frame[0] /= frame.sample_aspect
    return sample_reduced(frame, to_frame, Roi(0, 0, size, size), pitch, padding)


def sample_reduced(
    frame: Frame, to_frame: np.ndarray, part: Roi, pitch: float, padding: str = "border"
) -> torch.Tensor | None:
    """The part of a picture that `to_frame`, (2, 3), takes from displayed pixels: (3, h, w) in [0, 1].

    The frame is first halved as often as leaves one to two of its pixels per pixel of the picture, `pitch` being how
    many geometrically square ones there are. None if the part lies outside the frame.
    """
    corners = (part.x0, part.y0, part.x1 - 1, part.y1 - 1)
    roi = affine.bounds(to_frame, corners, (frame.width, frame.height), margin=2)
    if roi is None:
        return None
    halvings = max(int(math.log2(pitch / max(frame.sample_aspect, 1.0))), 0)
    reduced, (left, top) = reduced_part(frame, roi, halvings)
    columns, rows = affine.positions(to_frame, part)
    columns = (columns - left + 0.5) / 2**halvings - 0.5
    rows = (rows - top + 0.5) / 2**halvings - 0.5
    return affine.sample(reduced, columns, rows, padding=padding)
