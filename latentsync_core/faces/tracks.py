"""A face track: one face through the frames of one shot."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

PORTRAIT_SIZE = 128  # pixels: the side of a track's portrait
PER_FRAME = {"boxes": (4,), "landmarks": (3, 2), "visible": (), "pose": (3,), "sharpness": (), "flip_error": ()}
"""The columns of a FaceTrack, which have a row for each of its frames, and the shape of one row."""


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through one stretch of one shot: the clip's frames start..stop-1, n of them.

    Where `visible` is False (a gap that isn't bridged) the other columns are NaN.

    Raises:
        ValueError: a column isn't n rows of its shape; only a mistake in the program makes such a track.
    """

    track_id: int  # its place in FaceTracks.tracks
    start: int  # the clip's frame of index 0
    boxes: np.ndarray  # (n, 4) float32, x0 y0 x1 y1 in displayed pixels
    landmarks: np.ndarray  # (n, 3, 2) float32, x y in displayed pixels: the image's left and right brow, the nose
    visible: np.ndarray  # (n,) bool
    pose: np.ndarray  # (n, 3) float32 degrees: yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 clockwise
    sharpness: (
        np.ndarray
    )  # (n,) float32: how much fine detail the face shows, 0 to about 1; see faces/detection/sharpness.py
    flip_error: np.ndarray  # (n,) float32 face widths: how far the mesh is from that of the mirror image, 0.01 mostly
    portrait: (
        np.ndarray
    )  # (PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8 RGB: the aligned crop of its best frame, sharp and from the front
    embedding: np.ndarray | None = None  # (128,) float32: its appearance, see identity/embedding.py; None where unknown
    person: int = 0  # tracks of one number are taken for the same person; 0 is the one seen most
    by_hand: bool = False  # follows marks that the user set: never thought turned away, small or blurred

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
