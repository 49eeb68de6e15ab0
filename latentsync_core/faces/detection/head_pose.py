"""Head pose: yaw, pitch and roll from the points of the face mesh."""

from __future__ import annotations

import numpy as np

# Symmetric pairs of mesh vertices, the one on the picture's left first: outer and inner eye corners, brows, cheekbones,
# nostrils, jaw angles, temples
LEVEL_VERTEX_PAIRS = (
    (33, 263),
    (133, 362),
    (105, 334),
    (70, 300),
    (117, 346),
    (98, 327),
    (172, 397),
    (127, 356),
    (234, 454),
)
TOP, BOTTOM = (10, 151, 109, 338), (2, 98, 327, 164)  # forehead, and below the nose: neither moves with the jaw
PITCH_OFFSET = -1.0  # degrees measured on a face that looks straight ahead (rendered talking heads)


def head_pose(mesh: np.ndarray, aspect: float = 1.0) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a (468, 3) mesh; NaN if it isn't finite.

    Yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 is clockwise. x and y are in displayed pixels, z in
    square ones, smaller being nearer; `aspect` is a sample's width by its height. The rotations apply in this order:
    pitch, then yaw about the picture's vertical axis, then roll in the picture's plane.
    """
    points = mesh * (aspect, 1.0, -1.0)  # z towards the camera
    left, right = np.array(LEVEL_VERTEX_PAIRS).T
    across = (points[right] - points[left]).mean(0)
    down = points[list(BOTTOM)].mean(0) - points[list(TOP)].mean(0)
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if not (np.isfinite(lengths).all() and min(lengths) > 0):
        return (np.nan, np.nan, np.nan)
    # the nearest orthonormal pair of axes, the third one, then the pitch offset
    u, _, vh = np.linalg.svd(np.column_stack([across / lengths[0], down / lengths[1]]), full_matrices=False)
    ex, ey = (u @ vh).T
    ez = np.cross(ex, ey)
    pitch_offset = np.radians(PITCH_OFFSET)
    ey, ez = (
        ey * np.cos(pitch_offset) + ez * np.sin(pitch_offset),
        ez * np.cos(pitch_offset) - ey * np.sin(pitch_offset),
    )
    yaw = np.arcsin(np.clip(-ex[2], -1, 1))
    pitch = np.arctan2(-ey[2], ez[2])
    roll = np.arctan2(ex[1], ex[0])
    return tuple(np.degrees([yaw, pitch, roll]).tolist())
