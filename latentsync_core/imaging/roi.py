"""A rectangle of pixels."""

from __future__ import annotations

from typing import NamedTuple


class Roi(NamedTuple):
    """A half-open rectangle of displayed pixels: columns x0..x1-1, rows y0..y1-1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0
