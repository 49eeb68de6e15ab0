"""How a stored picture is turned and mirrored to be displayed, read from a container's display matrix."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

MATRIX_BYTES = 36  # nine 32-bit integers
MAX_SKEW = 1.0  # degrees from a quarter turn up to which players, ffmpeg among them, take it for one


@dataclass(frozen=True)
class Orientation:
    """The displayed picture is the stored one turned by `rotation`, then mirrored left to right if `mirrored`."""

    rotation: int = 0  # 0, 90, 180 or 270 degrees, clockwise
    mirrored: bool = False
    skew: float = 0.0  # degrees, clockwise, that the matrix asks for beyond `rotation`; 0 up to MAX_SKEW

    @classmethod
    def of(cls, matrix: bytes) -> Orientation:
        """The orientation in a display matrix of MATRIX_BYTES bytes, as ffmpeg attaches it to frames.

        A stored pixel (x, y), y downwards, is displayed at (a·x + c·y, b·x + d·y). Scale and shift are left out: ffmpeg
        has brought the scale into the sample aspect.
        """
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:
            a, c = -a, -c
        angle = math.degrees(math.atan2(b - c, a + d))
        quarter = round(angle / 90) * 90
        skew = angle - quarter
        return cls(quarter % 360, mirrored, skew if abs(skew) > MAX_SKEW else 0.0)
