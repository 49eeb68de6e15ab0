"""Face detection with BlazeFace: in whole frames at several scales, and in a square around a known face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ...video.frame import Frame
from ...video.reading.halving import halved
from .layer_list import STRIDE, load_network

MERGE_IOU = 0.3  # intersection over union above which two boxes are of one face
LOGIT_LIMIT = 100.0  # logits are clamped to this, to either side
MIN_FACE_INPUT_PIXELS = 18.0  # input pixels of a face that the full-range network finds (measured: 14 to 24)
SCALE_STEP = 0.25  # factor to the next coarser scale; at each scale the networks find faces of up to 160 input pixels
MIN_PYRAMID_SIDE = 448  # input pixels: a picture whose longer side is shorter gets no coarser scale
MIN_INPUT_SIDE = 128  # input pixels to which a small picture's longer side is enlarged
MAX_SCALE = 4.0  # input pixels per pixel; enlarging more adds no detail


@dataclass(frozen=True, eq=False)
class Detection:
    """One detected face, in displayed pixels, whole numbers being pixel centres."""

    box: np.ndarray  # (4,) float64: x0, y0, x1, y1
    points: np.ndarray  # (3, 2) float64: x y of the eye on the left of an upright picture, the other eye, the nose
    score: float  # 0 to 1

    @property
    def eyes(self) -> np.ndarray:
        """(2, 2)"""
        return self.points[:2]

    @property
    def area(self) -> float:
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


@dataclass(frozen=True)
class Detector:
    """A network, and the grids of anchors that its outputs are relative to. It takes pictures of any size."""

    network: str
    grids: tuple[tuple[int, int], ...]  # input pixels per cell, anchors per cell

    def anchors(self, width: int, height: int) -> np.ndarray:
        """(rows, 2) float64: x y of every output row's anchor, in input pixels."""
        rows = []
        for pitch, per_cell in self.grids:
            y, x = np.meshgrid(*(np.arange(0, length, pitch) + pitch / 2 for length in (height, width)), indexing="ij")
            rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
        return np.concatenate(rows)


SHORT_RANGE = Detector("blazeface_short", ((8, 2), (16, 6)))  # cheaper; faces of some 24 to 200 input pixels
FULL_RANGE = Detector("blazeface_full", ((4, 1),))  # faces of some 16 to 160 input pixels


def detection_passes(frame: Frame, score: float, min_size: float = 40.0) -> Iterator[list[Detection]]:
    """Detects faces lazily from the coarsest scale to the finest, so that a caller can stop at the first success.

    Yields each pass's faces, the largest first.

    Args:
        score: the minimum score of a detection, 0 to 1.
        min_size: square pixels of the smallest face that the last pass should find.
    """
    for scale in reversed(pyramid_scales(frame, min_size)):
        picture = _scaled_rgb(frame, scale)
        for detector in (SHORT_RANGE, FULL_RANGE):
            yield _largest_first(_weighted_nms(_detect(detector, picture, frame, score)))


def detect_faces(
    frame: Frame, score: float, min_size: float, *, coarse: bool = False, turns: Sequence[int] = (0,)
) -> list[Detection]:
    """Detects all faces of a frame, the largest first.

    Args:
        score: the minimum score of a detection, 0 to 1.
        min_size: square pixels of the smallest face that should be found.
        coarse: only at the coarsest scale.
        turns: quarter turns clockwise by which the picture is turned before detection; 0 finds upright faces.
    """
    scales = pyramid_scales(frame, min_size)
    found: list[Detection] = []
    for scale in scales[-1:] if coarse else scales:
        picture = _scaled_rgb(frame, scale)
        detectors = [SHORT_RANGE] if coarse or scale != scales[0] else [FULL_RANGE]
        if len(scales) == 1:
            detectors = [SHORT_RANGE, FULL_RANGE]
        for turn in turns:
            for detector in detectors:
                found += _detect(detector, picture, frame, score, turn)
    return _largest_first(_weighted_nms(found))


def pyramid_scales(frame: Frame, min_size: float) -> list[float]:
    """The scales at which faces of `min_size` square pixels and more are found, the finest first.

    In network input pixels per square pixel of the frame.
    """
    longer = max(frame.width * frame.sample_aspect, frame.height)
    scale = min(max(MIN_FACE_INPUT_PIXELS / min_size, MIN_INPUT_SIDE / longer), MAX_SCALE)
    scales = [scale]
    while longer * scale > MIN_PYRAMID_SIDE:
        scale *= SCALE_STEP
        scales.append(scale)
    return scales


def detect_in_squares(pictures: torch.Tensor, score: float) -> list[list[Detection]]:
    """Short-range detections in each of (n, 3, 128, 128) pictures in [0, 1], as fractions of the picture's side."""
    size = pictures.shape[-1]
    return [
        [Detection((face.box + 0.5) / size, (face.points + 0.5) / size, face.score) for face in _weighted_nms(faces)]
        for faces in _raw_detections(SHORT_RANGE, pictures, score)
    ]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two (4,) boxes."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    common = np.prod(np.maximum(high - low, 0))
    union = np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - common
    return float(common / union) if union > 0 else 0.0


def _scaled_rgb(frame: Frame, scale: float) -> torch.Tensor:
    """The whole frame in square pixels at `scale`: (3, h, w) in [0, 1]."""
    width = max(round(frame.width * frame.sample_aspect * scale), 1)
    height = max(round(frame.height * scale), 1)
    while frame.width >= 2 * width and frame.height >= 2 * height:
        frame = halved(frame)
    picture = frame.rgb()
    if picture.shape[1:] != (height, width):
        size = (height, width)
        picture = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    return picture


def _detect(detector: Detector, picture: torch.Tensor, frame: Frame, score: float, turn: int = 0) -> list[Detection]:
    """Detections in `picture`, which shows the whole frame, in the frame's displayed pixels."""
    turned = torch.rot90(picture, -turn, dims=(1, 2)) if turn % 4 else picture
    height, width = turned.shape[1:]
    least = load_network(detector.network).size
    across, down = (max(-(-length // STRIDE) * STRIDE, least) for length in (width, height))
    padded = F.pad(turned, (0, across - width, 0, down - height))
    stretch = np.array([frame.width, frame.height]) / (picture.shape[2], picture.shape[1])
    faces = []
    for face in _raw_detections(detector, padded[None], score)[0]:
        height, width = turned.shape[1:]
        points = np.concatenate([face.box.reshape(2, 2), face.points]) + 0.5  # edges
        for _ in range(turn % 4):  # a quarter turn back, counterclockwise
            points = np.column_stack([points[:, 1], width - points[:, 0]])
            width, height = height, width
        points = points * stretch - 0.5
        corners = points[:2]
        box = np.concatenate([corners.min(0), corners.max(0)])
        faces.append(Detection(box, points[2:], face.score))
    return faces


def _raw_detections(detector: Detector, pictures: torch.Tensor, score: float) -> list[list[Detection]]:
    """Each picture's detections of at least `score` before suppression, in input pixels; (n, 3, h, w) in [0, 1]."""
    regressors, logits = load_network(detector.network)((pictures * 2).sub_(1))
    scores = logits[..., 0].clamp(-LOGIT_LIMIT, LOGIT_LIMIT).sigmoid().numpy()
    anchors = detector.anchors(pictures.shape[-1], pictures.shape[-2])
    found: list[list[Detection]] = []
    for number in range(len(pictures)):
        likely = np.flatnonzero(scores[number] >= score)
        # x y pairs: the box's centre and size, then six points of the face
        points = regressors[number].numpy()[likely].astype(np.float64).reshape(len(likely), 8, 2)
        centres, sizes = points[:, 0] + anchors[likely], points[:, 1]
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) - 0.5  # edges to pixel centres
        places = points[:, 2:5] + anchors[likely, None] - 0.5
        found.append([Detection(*row) for row in zip(boxes, places, scores[number][likely].tolist(), strict=True)])
    return found


def _weighted_nms(faces: list[Detection]) -> list[Detection]:
    """Weighted non-maximum suppression: the score-weighted mean of the detections that overlap the best one."""
    merged = []
    rest = sorted(faces, key=lambda face: face.score, reverse=True)
    while rest:
        overlapping = [face for face in rest if iou(rest[0].box, face.box) > MERGE_IOU or face is rest[0]]
        weights = np.array([face.score for face in overlapping])
        box = np.average([face.box for face in overlapping], axis=0, weights=weights)
        points = np.average([face.points for face in overlapping], axis=0, weights=weights)
        merged.append(Detection(box, points, overlapping[0].score))
        rest = [face for face in rest if not any(face is other for other in overlapping)]
    return merged


def _largest_first(faces: list[Detection]) -> list[Detection]:
    return sorted(faces, key=lambda face: face.area, reverse=True)
