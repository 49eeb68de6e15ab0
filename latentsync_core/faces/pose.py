"""How a head is turned: yaw, pitch and roll from the points of its mesh."""

from __future__ import annotations

import numpy as np

# Pairs of mesh vertices that lie level on either side of the face, the picture's left one first: outer and inner eye
# corners, brows, cheekbones, nostrils, jaw angles, temples
PAIRS = ((33, 263), (133, 362), (105, 334), (70, 300), (117, 346), (98, 327), (172, 397), (127, 356), (234, 454))
TOP, BOTTOM = (10, 151, 109, 338), (2, 98, 327, 164)  # forehead, and below the nose: the jaw moves neither
LEAN = -4.0  # degrees: what a face looking straight ahead measures (rendered heads, mean of open and shut mouths)


def head_pose(mesh: np.ndarray, aspect: float = 1.0) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a (468, 3) mesh; NaN if it isn't finite.

    Yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 is clockwise. x and y are displayed pixels, z square
    ones with the nearer smaller; `aspect` is a sample's width by its height. The angles are those of a head turned
    first about its own upright axis (yaw), then about the picture's x axis (pitch), then in the picture (roll).
    """
    points = mesh * (aspect, 1.0, -1.0)  # z towards the camera
    left, right = np.array(PAIRS).T
    across = (points[right] - points[left]).mean(0)
    down = points[list(BOTTOM)].mean(0) - points[list(TOP)].mean(0)
    axes = np.column_stack([across / np.linalg.norm(across), down / np.linalg.norm(down)])
    if not np.isfinite(axes).all():
        return (np.nan, np.nan, np.nan)
    # the nearest pair of axes at right angles
    u, _, vh = np.linalg.svd(axes, full_matrices=False)
    ex, ey = (u @ vh).T
    ez = np.cross(ex, ey)
    pitch = np.degrees(np.arcsin(np.clip(-ey[2], -1, 1)))
    yaw = np.degrees(np.arctan2(-ex[2], ez[2]))
    roll = np.degrees(np.arctan2(-ey[0], ey[1]))
    return (float(yaw), float(pitch - LEAN), float(roll))
