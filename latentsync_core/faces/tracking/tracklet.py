"""One face during tracking: its measurements in each frame, its predicted position and its appearance."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
import torch

from ...video.frame import Frame
from ...video.reading.halving import halved
from ..alignment.align import align_track, crop_face
from ..detection.face_mesh import MeshDetection
from ..detection.head_pose import head_pose
from ..detection.landmarks import LandmarkScheme, three_points
from ..detection.region import FaceRegion
from ..detection.sharpness import face_sharpness
from ..identity.embedding import embed_faces, face_chip
from ..mouth_opening import mesh_opening
from ..tracks import PORTRAIT_SIZE, blank_portrait
from .redetect import bounding_box

# Columns of a frame's row of measurements.
BOX, POINTS, POSE, SHARPNESS, FLIP_ERROR, OPENING, COLUMNS = slice(0, 4), slice(4, 10), slice(10, 13), 13, 14, 15, 16
FULL_QUALITY_SIZE = 80.0  # pixels of a face; larger ones gain no quality
SAMPLE_INTERVAL = 12  # frames between samples of its embedding
MAX_SAMPLES = 8  # kept, those of the best quality
PORTRAIT_QUALITY_RATIO = 1.1  # to the portrait's quality, above which a face replaces it
VELOCITY_DECAY = 0.7  # of the velocity from frame to frame, in predictions


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """What is known of a face when its track ends."""

    frames: np.ndarray  # (n,) int64, ascending: the clip's frames in which it was found
    rows: np.ndarray  # (n, COLUMNS) float32
    samples: tuple[tuple[int, float, np.ndarray], ...]  # frame, quality, embedding (128,) float32
    portrait: np.ndarray  # (PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8
    portrait_frame: int


class Tracklet:
    """A face in one shot so far. Frames may be added in any order, each only once."""

    def __init__(self, index: int, frame: Frame, mesh: MeshDetection) -> None:
        """Starts with the face as detected in the clip's frame `index`."""
        self._aspect = frame.sample_aspect
        self.frames: list[int] = []  # ascending
        self.rows: list[np.ndarray] = []  # (COLUMNS,) float32 each
        self.samples: list[tuple[int, float, np.ndarray]] = []  # frame, quality, embedding (128,)
        self.portrait = blank_portrait()  # until `add` below
        self.portrait_frame = -1
        self._portrait_quality = 0.0
        self.region = FaceRegion.from_mesh(mesh.points, self._aspect)  # in its last frame
        self._velocity = np.zeros(2)  # square pixels from the last frame but one to the last
        self.missed_frames = 0  # since its last frame
        self.add(index, frame, mesh)

    @property
    def first(self) -> int:
        return self.frames[0]

    @property
    def last(self) -> int:
        return self.frames[-1]

    @property
    def box(self) -> np.ndarray:
        """(4,) its box in its last frame."""
        return self.rows[-1][BOX]

    def tracked(self) -> TrackedFace:
        """What is known of it, once its track has ended."""
        frames, rows = np.array(self.frames, np.int64), np.stack(self.rows)
        return TrackedFace(frames, rows, tuple(self.samples), self.portrait, self.portrait_frame)

    def predicted(self) -> FaceRegion:
        """The region expected in the next frame, by the decaying velocity."""
        step = self._velocity * sum(VELOCITY_DECAY**k for k in range(1, self.missed_frames + 2))
        return FaceRegion(self.region.centre + step, self.region.side, self.region.angle)

    def predicted_box(self) -> np.ndarray:
        """(4,) the box expected in the next frame."""
        shift = (self.predicted().centre - self.region.centre) / (self._aspect, 1.0)
        return self.box + np.tile(shift, 2)

    def box_at(self, frame: int) -> np.ndarray | None:
        """(4,) its box in a frame; None where it wasn't found."""
        place = bisect.bisect_left(self.frames, frame)
        return self.rows[place][BOX] if place < len(self.frames) and self.frames[place] == frame else None

    def add(self, index: int, frame: Frame, mesh: MeshDetection) -> None:
        """Adds the face as detected in the clip's frame `index`, before or after the frames that it has."""
        row = measure_face(mesh, self._aspect)
        region = FaceRegion.from_mesh(mesh.points, self._aspect)
        if not self.frames or index > self.last:
            gap = index - self.last if self.frames else 1
            self._velocity = (region.centre - self.region.centre) / gap
            self.region, self.missed_frames = region, 0
            self.frames.append(index)
            self.rows.append(row)
        else:
            place = bisect.bisect_left(self.frames, index)
            self.frames.insert(place, index)
            self.rows.insert(place, row)
            if place == 0 and len(self.frames) == 2:
                self._velocity = self.region.centre - region.centre
        quality = face_quality(row)
        near = min((abs(index - frame_index) for frame_index, _, _ in self.samples), default=SAMPLE_INTERVAL)
        if near >= SAMPLE_INTERVAL and (not self.samples or quality > 0.5 * max(sample[1] for sample in self.samples)):
            self.add_sample(index, frame, mesh, quality)
        if self.portrait_frame < 0 or quality > PORTRAIT_QUALITY_RATIO * self._portrait_quality:
            self.portrait = cut_portrait(frame, row)
            self.portrait_frame, self._portrait_quality = index, quality

    def add_sample(self, index: int, frame: Frame, mesh: MeshDetection, quality: float) -> None:
        """Samples the face's embedding; keeps the samples of the best quality."""
        found = embed_meshes(frame, [mesh])[0]
        if found is None:
            return
        self.samples.append((index, quality, found))
        if len(self.samples) > MAX_SAMPLES:
            self.samples.remove(min(self.samples[1:], key=lambda sample: sample[1]))

    def distance(self, embedding: np.ndarray | None) -> float:
        """The distance from an embedding to the face's nearest sample; below 0.6 it is usually the same person.

        NaN if either is missing.
        """
        if embedding is None or not self.samples:
            return float("nan")
        return min(float(np.linalg.norm(sample - embedding)) for _, _, sample in self.samples)


def measure_face(mesh: MeshDetection, aspect: float) -> np.ndarray:
    """(COLUMNS,) float32: a detection's box, three points, pose, sharpness, flip error and mouth opening."""
    row = np.empty(COLUMNS, np.float32)
    row[BOX] = bounding_box(mesh.points)
    row[POINTS] = three_points(mesh.points, LandmarkScheme.MESH468).reshape(-1)
    row[POSE] = head_pose(mesh.points, aspect)
    row[SHARPNESS] = face_sharpness(mesh.picture)
    row[FLIP_ERROR] = mesh.flip_error
    row[OPENING] = mesh_opening(mesh.points)
    return row


def face_quality(row: np.ndarray) -> float:
    """How suitable a face is for recognition, above 0: higher for sharp, large and frontal faces."""
    size = min(float((row[2:4] - row[0:2]).max()) / FULL_QUALITY_SIZE, 1.0)
    frontality = np.cos(np.radians(np.clip(row[POSE][:2], -85, 85))).prod()
    return float(size * frontality * (0.1 + row[SHARPNESS]))


def embed_meshes(frame: Frame, meshes: list[MeshDetection]) -> list[np.ndarray | None]:
    """The embeddings (128,) of several faces of a frame; None where a face lies outside of it."""
    chips = [face_chip(frame, mesh.points) for mesh in meshes]
    inside = {number: chip for number, chip in enumerate(chips) if chip is not None}
    found: list[np.ndarray | None] = [None] * len(meshes)
    if inside:
        values = embed_faces(torch.stack(list(inside.values())))
        for number, value in zip(inside, values, strict=True):
            found[number] = value if np.isfinite(value).all() else None
    return found


def cut_portrait(frame: Frame, row: np.ndarray) -> np.ndarray:
    """(PORTRAIT_SIZE, PORTRAIT_SIZE, 3) uint8: the aligned crop of a face."""
    points = row[POINTS].reshape(1, 3, 2).astype(np.float64)
    side = float((row[2:4] - row[0:2]).max())
    while side > 4 * PORTRAIT_SIZE:
        frame, points, side = halved(frame), (points + 0.5) / 2 - 0.5, side / 2
    transform = align_track(points, np.array([True]), PORTRAIT_SIZE, None, frame.layout.sample_aspect)[0]
    crop = crop_face(frame, transform, PORTRAIT_SIZE, eight_bit=False)
    return (crop.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
