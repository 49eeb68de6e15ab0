"""A face track: one face through the frames of one shot."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

PORTRAIT_SIZE = 128  # pixels: the side of a track's portrait
PER_FRAME = {
    "boxes": (4,), "landmarks": (3, 2), "visible": (), "pose": (3,), "sharpness": (), "flip_error": (), "opening": (),
}  # fmt: skip
"""The columns of a FaceTrack, which hold one row per frame, and the shape of a row."""


def blank_portrait() -> np.ndarray:
    """(PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8: black, in the place of a portrait that is still to be cut."""
    return np.zeros((PORTRAIT_SIZE, PORTRAIT_SIZE, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face in consecutive frames of one shot: the clip's frames start..stop-1, n of them.

    Where `visible` is False (a gap that isn't bridged) the other columns are NaN.

    Raises:
        ValueError: a column doesn't have n rows of its shape, which is a programming error.
    """

    track_id: int  # its place in FaceTracks.tracks
    start: int  # the clip's frame that row 0 belongs to
    boxes: np.ndarray  # (n, 4) float32, x0 y0 x1 y1 in displayed pixels
    landmarks: np.ndarray  # (n, 3, 2) float32, x y in displayed pixels: the image's left and right brow, the nose
    visible: np.ndarray  # (n,) bool
    pose: np.ndarray  # (n, 3) float32 degrees: yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 clockwise
    sharpness: np.ndarray  # (n,) float32, 0 to about 1: how much fine detail the face shows; see detection/sharpness.py
    flip_error: np.ndarray  # (n,) float32 face widths between the mesh and the mirror image's, typically 0.01
    opening: np.ndarray  # (n,) float32 face heights between the inner lips; NaN without a mesh: marked faces
    portrait: np.ndarray  # (PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8 RGB: the aligned crop of its sharpest frontal frame
    embedding: np.ndarray | None = None  # (EMBEDDING_SIZE,) float32, see identity/embedding.py; None where unknown
    person: int = 0  # tracks with the same number are one person; 0 is the most prominent
    by_hand: bool = False  # made from the user's marks: exempt from the limits of pose, size and sharpness

    def __post_init__(self) -> None:
        for name, shape in PER_FRAME.items():
            column = getattr(self, name)
            if column.shape != (len(self.visible), *shape):
                raise ValueError(
                    f"track {self.track_id} has {len(self.visible)} frames, but its {name} have shape {column.shape}"
                )

    @property
    def stop(self) -> int:
        return self.start + len(self.visible)

    def part(self, start: int, stop: int, keep: np.ndarray) -> FaceTrack:
        """The clip's frames start..stop-1 of the track, visible only where `keep`, (stop - start,) bool, is True."""
        rows = slice(start - self.start, stop - self.start)
        columns = {name: getattr(self, name)[rows].copy() for name in PER_FRAME}
        columns["visible"] &= keep
        for name in PER_FRAME.keys() - {"visible"}:
            columns[name][~columns["visible"]] = np.nan
        return dataclasses.replace(self, start=start, **columns)
