"""A face's portrait shows the same, pixel for pixel, however large the face is in its frame."""

from __future__ import annotations

import numpy as np

from latentsync_core.faces.tracking.tracklet import BOX, COLUMNS, POINTS, cut_portrait
from latentsync_core.faces.tracks import PORTRAIT_SIZE
from tests import astronaut

FACE = np.array([150.0, 50.0, 300.0, 200.0])  # in the picture of 512 x 512
BROWS_AND_NOSE = np.array([[196.0, 86.0], [252.0, 86.0], [225.0, 115.0]])


def portrait(size: int) -> np.ndarray:
    """Of the astronaut in a picture of that many pixels a side."""
    picture = astronaut.resized(astronaut.picture(), size, size)
    scale = size / 512
    row = np.full(COLUMNS, np.nan, np.float32)
    row[BOX] = (FACE + 0.5) * scale - 0.5
    row[POINTS] = ((BROWS_AND_NOSE + 0.5) * scale - 0.5).reshape(-1)
    return cut_portrait(astronaut.frame_of(picture), row).astype(int)


def test_a_face_that_is_halved_before_its_portrait_is_cut_stays_in_its_place():
    face_in_2048 = (FACE[2] - FACE[0]) * 4
    assert face_in_2048 > 4 * PORTRAIT_SIZE, "it is halved"
    difference = np.abs(portrait(2048) - portrait(512)).mean()
    assert difference < 0.8  # levels: 0.5 from resampling, 1.5 where halving is half a pixel off
