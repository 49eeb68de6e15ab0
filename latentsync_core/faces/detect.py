"""Face detection with BlazeFace: the whole frame first, then the longer-range network, then tile by tile."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..frame import Frame
from ..types import Roi
from .network import load_network

OVERLAP = 0.3  # intersection over union above which two boxes are of one face
LOGIT_LIMIT = 100.0  # beyond it a score is certain
SMALLEST_TILE = 64  # pixels: half the network's input; tiles of less than that show nothing new
TILE_BATCH = 16  # tiles that go through the network together


@dataclass(frozen=True, eq=False)
class Detection:
    """One detected face, in displayed pixels, whole numbers being pixel centres."""

    box: np.ndarray  # (4,) float64: x0, y0, x1, y1
    eyes: np.ndarray  # (2, 2) float64: x y of the eye on the picture's left, then on its right in an upright face
    score: float  # 0 to 1

    @property
    def area(self) -> float:
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


@dataclass(frozen=True)
class _Detector:
    """A network and the grid of anchors that its outputs are offsets to."""

    network: str
    grids: tuple[tuple[int, int], ...]  # cells along an edge, anchors per cell

    @functools.cached_property
    def anchors(self) -> np.ndarray:
        """(rows, 2) float64: x y of every output row's anchor, as fractions of the input picture."""
        rows = []
        for cells, per_cell in self.grids:
            centres = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(centres, centres, indexing="ij")
            rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
        return np.concatenate(rows)


SHORT_RANGE = _Detector("blazeface_short", ((16, 2), (8, 6)))  # 128x128, for faces near the camera
FULL_RANGE = _Detector("blazeface_full", ((48, 1),))  # 192x192


def detection_passes(frame: Frame, score: float, aspect: float = 1.0) -> Iterator[list[Detection]]:
    """Looks for faces at finer and finer scales; a caller stops at the first pass that satisfies it.

    The short-range network on the whole frame, the full-range one on the whole frame and on overlapping square tiles
    as wide as the frame's shorter side, then the short-range one on tiles of half that. Of a frame's shorter side,
    faces a third wide are found by the first pass, a twelfth by the third and a sixteenth by the last (measured with
    a portrait at 1280x720). Each pass yields its faces, the largest first, and costs only once it is asked for.

    Args:
        score: the least score of a detection, 0 to 1.
        aspect: a sample's width divided by its height.
    """
    whole = Roi(0, 0, frame.width, frame.height)
    yield _detect(frame, SHORT_RANGE, [whole], score, aspect)
    yield _detect(frame, FULL_RANGE, [whole], score, aspect)
    shorter = min(frame.width * aspect, frame.height)
    for detector, side in ((FULL_RANGE, shorter), (SHORT_RANGE, shorter / 2)):
        if side < SMALLEST_TILE:
            return
        tiles = [
            Roi(x0, y0, x1, y1)
            for y0, y1 in _tiles(frame.height, side)
            for x0, x1 in _tiles(frame.width, side / aspect)
        ]
        if len(tiles) > 1:
            yield _detect(frame, detector, tiles, score, aspect)


def faces_within(frame: Frame, part: Roi, score: float, aspect: float = 1.0) -> list[Detection]:
    """The faces that the short-range network sees in one part of the frame, the largest first."""
    return _detect(frame, SHORT_RANGE, [part], score, aspect)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two (4,) boxes."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    common = np.prod(np.maximum(high - low, 0))
    union = np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - common
    return float(common / union) if union > 0 else 0.0


def _tiles(length: int, side: float) -> list[tuple[int, int]]:
    """Half-open stretches of about `side` that cover `length`, each overlapping the next by half or more."""
    side = min(max(round(side), 1), length)
    count = 1 + -(-(length - side) * 2 // side)
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def _detect(frame: Frame, detector: _Detector, tiles: list[Roi], score: float, aspect: float) -> list[Detection]:
    network = load_network(detector.network)
    found: list[Detection] = []
    for first in range(0, len(tiles), TILE_BATCH):
        batch = tiles[first : first + TILE_BATCH]
        boxed = [_letterbox(frame, tile, network.size, aspect) for tile in batch]
        regressors, logits = network(torch.stack([picture for picture, _, _ in boxed]) * 2 - 1)
        scores = logits[..., 0].clamp(-LOGIT_LIMIT, LOGIT_LIMIT).sigmoid().numpy()
        for number, (_, scale, origin) in enumerate(boxed):
            likely = np.flatnonzero(scores[number] >= score)
            if not len(likely):
                continue
            offsets = regressors[number].numpy()[likely].astype(np.float64).reshape(len(likely), -1, 2)
            points = offsets / network.size + detector.anchors[likely, None]  # x y: centre, size, six face points
            points[:, 1] -= detector.anchors[likely]  # the size is no place
            boxes = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], axis=1)
            rows = np.concatenate([boxes, points[:, 2:4].reshape(-1, 4)], axis=1)  # box, then both eyes
            rows = rows * np.tile(scale, 4) + np.tile(origin, 4)
            found += [
                Detection(row[:4], row[4:].reshape(2, 2), float(weight))
                for row, weight in zip(rows, scores[number][likely], strict=True)
            ]
    return sorted(_merged(found), key=lambda face: face.area, reverse=True)


def _letterbox(frame: Frame, tile: Roi, size: int, aspect: float) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """A tile fitted into a black square: (3, size, size) in [0, 1], and x y scale and origin back to frame pixels."""
    shrink = size / max(tile.width * aspect, tile.height)
    width = min(max(round(tile.width * aspect * shrink), 1), size)
    height = min(max(round(tile.height * shrink), 1), size)
    left, top = (size - width) // 2, (size - height) // 2
    picture = F.pad(frame.rgb(tile, (width, height)), (left, size - width - left, top, size - height - top))
    scale = np.array([tile.width / width, tile.height / height])
    origin = np.array([tile.x0, tile.y0]) - scale * (left, top) - 0.5  # edges to pixel centres
    return picture, scale * size, origin


def _merged(faces: list[Detection]) -> list[Detection]:
    """One detection per face: the average of those that overlap the best one, weighted by score."""
    merged = []
    rest = sorted(faces, key=lambda face: face.score, reverse=True)
    while rest:
        same = [face for face in rest if overlap(rest[0].box, face.box) > OVERLAP or face is rest[0]]
        weights = np.array([face.score for face in same])
        box = np.average([face.box for face in same], axis=0, weights=weights)
        eyes = np.average([face.eyes for face in same], axis=0, weights=weights)
        merged.append(Detection(box, eyes, same[0].score))
        rest = [face for face in rest if not any(face is other for other in same)]
    return merged
