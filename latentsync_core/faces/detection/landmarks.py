"""The three points that align a face (brow centres and nose), from any supported landmark scheme."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ...errors import OptionError


@dataclass(frozen=True)
class ThreePoints:
    """Which landmarks are averaged into each point; left and right as seen in the picture."""

    count: int  # landmarks in the scheme
    left_brow: tuple[int, ...]
    right_brow: tuple[int, ...]
    nose: tuple[int, ...]


class LandmarkScheme(Enum):
    """How a face's landmarks are numbered. LatentSync 1.0 was trained with the first, 1.5 and 1.6 with the second."""

    MESH468 = ThreePoints(468, (71, 63, 105, 66, 107), (336, 296, 334, 293, 301), (168, 197, 5, 4, 75, 97, 2, 326, 305))
    INSIGHTFACE106 = ThreePoints(106, (43, 48, 49, 51, 50), (101, 102, 103, 104, 105), (74, 77, 83, 86))
    DLIB68 = ThreePoints(68, tuple(range(17, 22)), tuple(range(22, 27)), tuple(range(27, 36)))


def three_points(landmarks: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    """Left brow, right brow and nose of (..., K, 2 or more) landmarks: (..., 3, 2) float32, in the same pixels.

    MESH468 uses the mesh vertices that correspond to the dlib 68 points, as LatentSync 1.0 does.

    Raises:
        OptionError: K is not the scheme's number of landmarks.
    """
    points = scheme.value
    if landmarks.shape[-2] != points.count:
        raise OptionError(
            f"landmarks of the scheme {scheme.name} are {points.count} points, not {landmarks.shape[-2]}; "
            f"choose the scheme that they were made with"
        )
    landmarks = landmarks[..., :2].astype(np.float64)
    groups = (points.left_brow, points.right_brow, points.nose)
    return np.stack([landmarks[..., list(group), :].mean(-2) for group in groups], axis=-2).astype(np.float32)
