"""Tracks a patch of the picture from frame to frame by similarity motion, anchored to its marked appearance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...imaging import affine
from ...video.frame import Frame

GRID = 64  # samples along the patch's longer side at the finest octave: less than a pixel of a 256-pixel crop apart
OCTAVES = 3  # each at half the resolution of the previous one; the coarsest covers motion of a tenth of the patch
PYRAMID_LEVELS = 6  # of a picture, each half as large as the previous one: for patches that are larger or grow
MAX_ITERATIONS = (6, 6, 12)  # per octave, the finest first
MIN_STEP = 0.02  # grid steps: a smaller update ends an octave
SEARCH_RADIUS = 1.0  # patch sides around the last position, when tracking from it fails
OUTLIER_DEVIATIONS = 2.5  # standard deviations at which a sample's weight is a quarter: an opening mouth, a hand
MIN_CORRELATION = 0.5  # below it the patch isn't found
SEARCH_CORRELATION = 0.8  # above it no search is needed
TEMPLATE_UPDATE_CORRELATION = 0.92  # below it the recent template is updated: rarely, since each update may drift
ANCHOR_CORRELATION_RANGE = (0.55, 0.8)  # correlations with the anchor at which its weight is 0 and 1
MAX_ANCHOR_OFFSET = 0.12  # patch sides between anchor and recent template; beyond it the anchor is ignored
MAX_ROTATION = 0.35  # radians per frame
MAX_SCALE_CHANGE = 1.25  # factor per frame
MIN_VISIBLE_FRACTION = 0.5  # of the patch must lie inside the picture
MIN_CONTRAST = 0.004  # of full range: a patch with less contrast can't be tracked


@dataclass(frozen=True, eq=False)
class Pyramid:
    """An image pyramid of brightness, addressed in square pixels: x in displayed pixels times the aspect."""

    levels: tuple[Tensor, ...]  # (1, h, w) float32 in about [0, 1], the finest first
    step: float  # displayed rows per row of the finest level
    aspect: float  # a displayed pixel's width by its height

    @classmethod
    def of(cls, luma: Tensor, step: int, aspect: float, octaves: int = PYRAMID_LEVELS) -> Pyramid:
        """Builds the pyramid of an (h, w) picture that `downsampled_luma` made with the same `step`."""
        level = _blurred(luma.float()[None])
        levels = [level]
        while len(levels) < octaves and min(level.shape[1:]) >= 16:
            level = F.avg_pool2d(_blurred(level), 2, ceil_mode=True, count_include_pad=False)
            levels.append(level)
        return cls(tuple(levels), float(step), aspect)

    def sample(self, places: np.ndarray, pitch: float) -> tuple[np.ndarray, np.ndarray]:
        """Brightness (rows, columns) at (rows, columns, 2) square pixels `pitch` apart, and which are inside."""
        number = int(np.clip(round(np.log2(max(pitch / self.step, 1e-9))), 0, len(self.levels) - 1))
        level, step = self.levels[number], self.step * 2**number
        columns = torch.from_numpy(((places[..., 0] / self.aspect + 0.5) / step - 0.5).astype(np.float32))
        rows = torch.from_numpy(((places[..., 1] + 0.5) / step - 0.5).astype(np.float32))
        height, width = level.shape[1:]
        inside = (columns > -0.5) & (columns < width - 0.5) & (rows > -0.5) & (rows < height - 0.5)
        return affine.sample(level, columns, rows, "border")[0].numpy(), inside.numpy()


def downsampled_luma(frame: Frame, step: int) -> Tensor:
    """(ceil(H / step), ceil(W / step)) float16: block means of the first plane (luma or green), about 0 to 1."""
    if len(frame.planes) == 1:
        plane = np.nan_to_num(frame.planes[0][:, :, 1].astype(np.float32), posinf=1.0, neginf=0.0).clip(0, 1)
    else:
        plane = frame.planes[0].astype(np.float32)
    level = frame.layout.to_displayed(torch.from_numpy(plane)).contiguous()[None]
    if len(frame.planes) > 1:
        level = level / (2.0**frame.layout.pixel_format.bits - 1)
    return F.avg_pool2d(level, step, ceil_mode=True, count_include_pad=False)[0].half() if step > 1 else level[0].half()


@dataclass(frozen=True, eq=False)
class _Template:
    """A patch's appearance at one octave, on its own grid; patch coordinates are -1 to 1 along the longer side."""

    values: np.ndarray  # (n,) float64
    weights: np.ndarray  # (n,) float64: of an ellipse, 0 outside of the picture
    places: np.ndarray  # (rows, columns, 2) patch coordinates
    steepest_descent: np.ndarray  # (n, 4): derivatives of the values by scale, rotation, x and y


class PatchTracker:
    """Tracks one patch from frame to frame, in either direction of time.

    Each frame is aligned with two templates: the anchor, made from the marked frame, which can't drift, and a recent
    one, which still fits after the face has turned or changed its expression. The anchor's weight grows with its
    correlation. Alignment is inverse compositional Lucas-Kanade over octaves with a robust weight (Baker and Matthews,
    "Lucas-Kanade 20 Years On", IJCV 2004), brightness and contrast normalised; the two templates limit drift as in
    Matthews, Ishikawa and Baker, "The Template Update Problem", PAMI 2004.
    """

    def __init__(self, picture: Pyramid, box: np.ndarray) -> None:
        """`box` (4,) x0 y0 x1 y1 in square pixels, of the patch in `picture`."""
        size = box[2:] - box[:2]
        self._half = float(size.max()) / 2
        self._shape = size / size.max()
        centre = (box[:2] + box[2:]) / 2
        self.motion = np.column_stack([self._half * np.eye(2), centre])
        """(2, 3): patch coordinates → square pixels of the last frame in which it was found."""
        self._first = self.motion
        self._anchor = self._templates(picture, self.motion)
        self._recent = self._anchor
        self._is_flat = _contrast(self._anchor[0]) < MIN_CONTRAST

    @property
    def total_motion(self) -> np.ndarray:
        """(2, 3): square pixels of the marked frame → those of the last frame in which the patch was found."""
        return _compose(self.motion, affine.invert(self._first))

    def find(self, picture: Pyramid) -> bool:
        """Tracks the patch into the next picture; False if it isn't found, which leaves `motion` unchanged."""
        if self._is_flat:
            return False
        motion, fit = self._align(picture, self._recent, self.motion, OCTAVES)
        if fit < SEARCH_CORRELATION:
            for templates in (self._recent, self._anchor):
                start = self._search(picture, templates)
                other, other_fit = self._align(picture, templates, start, OCTAVES)
                if other_fit > fit + 0.02:  # a tie goes to the nearer one
                    motion, fit = other, other_fit
        anchored, anchor_fit = motion, fit
        if self._recent is not self._anchor:
            anchored, anchor_fit = self._align(picture, self._anchor, motion, 2)
        offset = np.linalg.norm(anchored[:, 2] - motion[:, 2]) / (2 * self._half * _scale_ratio(self._first, motion))
        anchor_weight = float(
            np.clip(
                (anchor_fit - ANCHOR_CORRELATION_RANGE[0])
                / (ANCHOR_CORRELATION_RANGE[1] - ANCHOR_CORRELATION_RANGE[0]),
                0,
                1,
            )
        ) * (offset < MAX_ANCHOR_OFFSET)
        motion = motion + anchor_weight * (anchored - motion)
        if max(fit, anchor_fit) < MIN_CORRELATION or not self._is_plausible(picture, motion):
            return False
        self.motion = motion
        if fit < TEMPLATE_UPDATE_CORRELATION:
            self._recent = self._templates(picture, motion)
        return True

    def _templates(self, picture: Pyramid, motion: np.ndarray) -> list[_Template]:
        return [_make_template(picture, motion, self._shape, GRID >> octave) for octave in range(OCTAVES)]

    def _align(
        self, picture: Pyramid, templates: list[_Template], motion: np.ndarray, octaves: int
    ) -> tuple[np.ndarray, float]:
        for octave in range(octaves - 1, -1, -1):
            motion = _refine(picture, templates[octave], motion, MAX_ITERATIONS[octave])
        return motion, _correlation(picture, templates[0], motion)

    def _search(self, picture: Pyramid, templates: list[_Template]) -> np.ndarray:
        """The shift within SEARCH_RADIUS at which the coarsest template correlates best."""
        template = templates[-1]
        rows, columns = template.places.shape[:2]
        pitch = 2 * self._shape.max() / max(rows, columns)
        far = round(SEARCH_RADIUS * 2 / pitch)
        x = template.places[0, 0, 0] + pitch * np.arange(-far, columns + far)
        y = template.places[0, 0, 1] + pitch * np.arange(-far, rows + far)
        around = np.stack(np.meshgrid(x, y), axis=-1)
        values, inside = picture.sample(affine.map_points(self.motion, around), pitch * _scale(self.motion))
        windows = np.lib.stride_tricks.sliding_window_view(values, (rows, columns)).reshape(-1, rows * columns)
        shown = np.lib.stride_tricks.sliding_window_view(inside, (rows, columns)).reshape(-1, rows * columns)
        scores = _correlations(windows.astype(np.float64), template.values, template.weights * shown)
        scores[(shown @ template.weights) < MIN_VISIBLE_FRACTION * template.weights.sum()] = -1
        best = int(scores.argmax())
        across = 2 * far + 1
        shift = pitch * np.array([best % across - far, best // across - far])
        return _compose(self.motion, np.column_stack([np.eye(2), shift]))

    def _is_plausible(self, picture: Pyramid, motion: np.ndarray) -> bool:
        """Whether `motion` is possible within one frame and most of the patch lies inside the picture."""
        change = _compose(affine.invert(self.motion), motion)
        growth = _scale(change)
        turn = abs(np.arctan2(change[1, 0], change[0, 0]))
        if not (1 / MAX_SCALE_CHANGE < growth < MAX_SCALE_CHANGE and turn < MAX_ROTATION):
            return False
        template = self._anchor[-1]
        _, inside = picture.sample(affine.map_points(motion, template.places), 1.0)
        weights = _ellipse(template.places, self._shape)
        return float((inside * weights).sum()) >= MIN_VISIBLE_FRACTION * float(weights.sum())


def _make_template(picture: Pyramid, motion: np.ndarray, shape: np.ndarray, grid: int) -> _Template:
    columns, rows = np.maximum(np.round(shape * grid), 4).astype(int)
    pitch = 2 / grid
    x = (np.arange(columns) - (columns - 1) / 2) * pitch
    y = (np.arange(rows) - (rows - 1) / 2) * pitch
    places = np.stack(np.meshgrid(x, y), axis=-1)
    values, inside = picture.sample(affine.map_points(motion, places), pitch * _scale(motion))
    values = values.astype(np.float64)
    down, across = np.gradient(values, pitch)
    turn = places[..., 0] * down - places[..., 1] * across
    scale = places[..., 0] * across + places[..., 1] * down
    steepest_descent = np.stack([scale, turn, across, down], axis=-1).reshape(-1, 4)
    weights = (_ellipse(places, shape) * inside).ravel()
    return _Template(values.ravel(), weights, places, steepest_descent)


def _refine(picture: Pyramid, template: _Template, motion: np.ndarray, steps: int) -> np.ndarray:
    """Iterates a motion to convergence, at most `steps` times; where that fails, the last good motion is returned."""
    pitch = float(np.abs(np.diff(template.places[0, :2, 0]))[0])
    for _ in range(steps):
        values, inside = picture.sample(affine.map_points(motion, template.places), pitch * _scale(motion))
        weights = template.weights * inside.ravel()
        level, spread = _moments(values.ravel(), weights)
        own_level, own_spread = _moments(template.values, weights)
        if spread < MIN_CONTRAST / 4 or own_spread < MIN_CONTRAST / 4:
            return motion
        error = (values.ravel() - level) * (own_spread / spread) + own_level - template.values
        deviation = 1.4826 * float(np.median(np.abs(error[weights > 0]))) + 1e-6
        weights = weights / (1 + (error / (OUTLIER_DEVIATIONS * deviation)) ** 2) ** 2
        weighted = template.steepest_descent * weights[:, None]
        normal = weighted.T @ template.steepest_descent
        normal[np.diag_indices(4)] += 1e-6 * np.trace(normal) + 1e-12
        growth, turn, x, y = np.linalg.solve(normal, weighted.T @ error)
        step = np.array([[1 + growth, -turn, x], [turn, 1 + growth, y]])
        if not 0.5 < _scale(step) < 2:
            return motion
        motion = _compose(motion, affine.invert(step))
        if max(abs(growth), abs(turn), abs(x), abs(y)) < MIN_STEP * pitch:
            break
    return motion


def _correlation(picture: Pyramid, template: _Template, motion: np.ndarray) -> float:
    pitch = float(np.abs(np.diff(template.places[0, :2, 0]))[0])
    values, inside = picture.sample(affine.map_points(motion, template.places), pitch * _scale(motion))
    weights = (template.weights * inside.ravel())[None]
    return float(_correlations(values.reshape(1, -1).astype(np.float64), template.values, weights)[0])


def _correlations(windows: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(k,) weighted normalised correlation of (k, n) windows with (n,) values under (k, n) weights; 0 for flat ones."""
    total = np.maximum(weights.sum(1), 1e-9)
    mean = (weights * windows).sum(1) / total
    own = weights @ values / total
    square = (weights * windows**2).sum(1) / total - mean**2
    own_square = weights @ values**2 / total - own**2
    common = (weights * windows) @ values / total - mean * own
    spread = np.sqrt(np.maximum(square, 0) * np.maximum(own_square, 0))
    return np.where(spread > (MIN_CONTRAST / 4) ** 2, common / np.maximum(spread, 1e-12), 0.0)


def _moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    total = max(float(weights.sum()), 1e-9)
    mean = float(weights @ values) / total
    return mean, float(np.sqrt(max(float(weights @ values**2) / total - mean**2, 0.0)))


def _contrast(template: _Template) -> float:
    return _moments(template.values, template.weights)[1]


def _ellipse(places: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """1 inside the patch's inscribed ellipse, falling to 0 over its outermost tenth."""
    return np.clip((1 - np.sqrt(((places / shape) ** 2).sum(-1))) / 0.1, 0, 1)


def _scale(motion: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(motion[:, :2]))))


def _scale_ratio(before: np.ndarray, after: np.ndarray) -> float:
    return _scale(after) / _scale(before)


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3): applies `inner`, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def _blurred(level: Tensor) -> Tensor:
    """(1, h, w) filtered with [1 2 1] / 4 along both axes."""
    kernel = torch.tensor([0.25, 0.5, 0.25])
    level = F.conv2d(F.pad(level[None], (1, 1, 0, 0), mode="replicate"), kernel.view(1, 1, 1, 3))
    return F.conv2d(F.pad(level, (0, 0, 1, 1), mode="replicate"), kernel.view(1, 1, 3, 1))[0]
