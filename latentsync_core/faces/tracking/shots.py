"""Finds where one shot ends and the next begins, on frames that are streamed past anyway: cuts, fades and dissolves.

Every frame is reduced to 32 × 32 pixels. Two of them are compared block by block: each block looks for its best match
near its place in the other picture, so that pans, shake and moving people leave little difference and only new content
counts (the residual of motion-compensated block matching). A cut is a difference well above those of the frames
around it, which neither the frame before nor the frame after next takes back, as after a flash. So is a leap: the same
people before the same wall, nearer or elsewhere at once, where all around is calm; there the plain difference counts,
since blocks would find their match. A dissolve is a stretch
whose frames are all mixtures of its first and its last one, more and more of the latter (the linear mixing model of
film editing), while these two don't match.

A boundary is the first frame of the new shot. Wholly black or white frames belong to the shot that follows them, so a
fade's boundary is its first blank frame and nothing is followed or smoothed across it. That of a dissolve is the first
frame that shows more of the new shot than of the old one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...video.frame import Frame

LAG = 3  # frames by which a cut or a fade is told late: what follows says whether it was only a flash, or wild motion

SIDE = 32  # pixels of the reduced picture, both ways; blocks of a quarter of that
BLOCK = 8  # pixels
MAX_BLOCK_MOTION = 4  # pixels that a block may have moved by: an eighth of the picture from frame to frame
MIN_CONTRAST = 4.0  # levels of 255: a picture of less contrast isn't normalised further, so that noise isn't compared
COLOR_WEIGHT = 0.5  # how much a difference in colour adds to one in brightness

MAX_BLANK_DEVIATION = 1.0  # levels: standard deviation of block means of a blank frame; grain averages out in them
MAX_REPEAT_DIFFERENCE = 0.01  # a frame with less repeats the one before, which says nothing about motion
BASE_DIFFERENCE = 0.1  # that any two frames may have; a cut from a person to the same wall without has 0.4
JUMP_CUT_RATIO = 4.0  # times the plain differences around it: true jump cuts had 8, other steps 2.4
MIN_JUMP_CUT_DIFFERENCE, JUMP_CUT_OFFSET = (
    0.15,
    0.02,
)  # of plain difference: what a leap has at least; what is added to those around it
HISTORY_FRAMES = 5  # differences before a frame that say how much moves; more than a flash makes
MAX_FLASH_FRAMES = 2  # frames that a flash lasts, at most
FADE_IN_CONTRAST_RATIO = 1.02  # times the contrast of the frame before that a frame has while a shot fades in

DISSOLVE_HALF_LENGTHS = (
    3,
    5,
    8,
    12,
    18,
    27,
)  # frames from a dissolve's middle to frames that it hasn't reached; 27 is two seconds
MAX_END_CORRELATION = 0.7  # of either sign, between a dissolve's ends: a nodding close-up has 0.79
MIN_MIDDLE_SHARE = 0.2  # of each end, at least, in a dissolve's middle
MAX_RESIDUAL_VARIANCE = 0.35  # of a frame's variance, per unit of difference of the ends above MIN_END_DIFFERENCE
MAX_OVERSHOOT = 0.2  # of one end that shows in a frame beyond the other, at most: then the dissolve is over
CUT_THRESHOLD = 1.75  # of the usual difference: less finds more cuts, and false ones
MIN_END_DIFFERENCE = 0.2  # difference of a dissolve's ends under which no dissolve is seen


@dataclass(frozen=True, eq=False)
class _ReducedFrame:
    """A frame as it is compared."""

    index: int
    luma: np.ndarray  # (SIDE, SIDE) float32 levels 0 to 255
    shape: np.ndarray  # the same with mean 0 and deviation 1: light and exposure don't count
    colours: np.ndarray  # (2, 8, 8) float32: red and blue above luma, in the same deviations
    contrast: float  # of luma, its standard deviation
    blank: bool


class ShotDetector:
    """Tells the first frames of new shots while a clip is streamed past; memory doesn't grow with the clip."""

    def __init__(self, threshold: float = CUT_THRESHOLD) -> None:
        """`threshold`: how many times a cut's difference is above the usual one, 1 to 10."""
        self._threshold = threshold
        self._frames: deque[_ReducedFrame] = deque(maxlen=3 * DISSOLVE_HALF_LENGTHS[-1] + 3)
        self._differences: deque[float] = deque(
            maxlen=HISTORY_FRAMES + LAG + 1
        )  # differences of held frames with the one before
        self._recent_differences: deque[float] = deque(
            maxlen=HISTORY_FRAMES
        )  # those of this shot's last frames, up to the one judged
        self._plain_differences: deque[float] = deque(
            maxlen=2 * HISTORY_FRAMES + LAG + 1
        )  # plain differences, as `_differences`
        self._count = 0
        self._last = 0  # the last boundary
        self._fading_in = False  # whether a shot is fading in
        self._blend_over = 0  # the last frame of the last dissolve

    def add(self, frame: Frame) -> list[int]:
        """Looks at the clip's next frame; the first frames of shots that have become certain by it, rising.

        Cuts and fades are told at most LAG frames late, dissolves when they are over.
        """
        small = _reduced(frame, self._count)
        self._differences.append(_difference(self._frames[-1], small) if self._frames else 0.0)
        self._plain_differences.append(_plain_difference(self._frames[-1], small) if self._frames else 0.0)
        self._frames.append(small)
        self._count += 1
        found = []
        if self._count > LAG:
            found += self._boundary_at(self._count - 1 - LAG)
        if not found:
            found += self._dissolve()
        return self._accept(found)

    def finish(self) -> list[int]:
        """Judges the clip's last frames."""
        found = []
        for index in range(max(self._count - LAG, 0), self._count):
            found += self._accept(self._boundary_at(index))
        return found

    def _accept(self, found: list[int]) -> list[int]:
        if found:
            self._last = found[-1]
            self._recent_differences.clear()
        return found

    def _at(self, index: int) -> _ReducedFrame:
        return self._frames[index - self._count]

    def _boundary_at(self, index: int) -> list[int]:
        """Whether frame `index` starts a shot, as far as the frames around it say that are known."""
        if index == 0:
            return []
        step = self._differences[index - self._count]
        stop = min(index + LAG + 1, self._count)
        ahead = [self._differences[i - self._count] for i in range(index + 1, stop)]
        repeated = index > 1 and self._differences[index - 1 - self._count] <= MAX_REPEAT_DIFFERENCE
        if (
            repeated and ahead and ahead[0] <= MAX_REPEAT_DIFFERENCE
        ):  # every picture is shown more than once: only new ones say what moves
            ahead = [value for value in ahead if value > MAX_REPEAT_DIFFERENCE]
        typical = max(_median(self._recent_differences), _median(ahead))
        threshold = self._threshold * (BASE_DIFFERENCE + typical)
        before, here = self._at(index - 1), self._at(index)
        blank = here.blank or before.blank
        self._fading_in = blank or (
            self._fading_in and here.contrast > FADE_IN_CONTRAST_RATIO * before.contrast
        )  # a fade in goes on
        starts = False
        if blank:
            starts = here.blank and not before.blank and not self._is_flash(index, threshold)
        elif step > threshold and index > self._blend_over and not self._fading_in:
            fades = any(self._at(i).blank for i in range(index, stop))  # the boundary is where it is blank
            starts = not fades and self._min_difference(index, _difference) > threshold
            step = 0.0  # of a flash: says nothing of how much moves
        elif index > self._blend_over and not self._fading_in:
            starts = self._is_jump_cut(index)
        if starts:
            return [index]
        if (step > MAX_REPEAT_DIFFERENCE or repeated) and not blank:
            self._recent_differences.append(step)
        return []

    def _is_jump_cut(self, index: int) -> bool:
        """Whether everything moves at once from the frame before to `index`, and nothing much before and after."""
        first = max(self._last + 1, self._count - len(self._plain_differences), index - HISTORY_FRAMES)
        stop = min(index + LAG + 1, self._count)
        around = [self._plain_differences[i - self._count] for i in range(first, stop) if i != index]
        threshold = max(MIN_JUMP_CUT_DIFFERENCE, JUMP_CUT_RATIO * (JUMP_CUT_OFFSET + max(around, default=1.0)))
        if self._plain_differences[index - self._count] <= threshold:
            return False
        return (
            not any(self._at(i).blank for i in range(index, stop))
            and self._min_difference(index, _plain_difference) > threshold
        )

    def _min_difference(self, index: int, difference: Callable[[_ReducedFrame, _ReducedFrame], float]) -> float:
        """The least difference across `index` of frames up to a flash apart: small if it is taken back."""
        pairs = [
            (b, a)
            for b in range(max(index - 1 - MAX_FLASH_FRAMES, self._last), index)
            for a in range(index, min(index + MAX_FLASH_FRAMES + 1, self._count))
            if a - b <= MAX_FLASH_FRAMES + 1 and not (self._at(a).blank or self._at(b).blank)
        ]
        return min((difference(self._at(b), self._at(a)) for b, a in pairs), default=0.0)

    def _is_flash(self, index: int, threshold: float) -> bool:
        """Whether the blank frames from `index` on are few and the picture is the same after them."""
        for after in range(index + 1, min(index + MAX_FLASH_FRAMES + 1, self._count)):
            if not self._at(after).blank:
                return _difference(self._at(index - 1), self._at(after)) < threshold
        return False

    def _dissolve(self) -> list[int]:
        """The middle of a dissolve that is over by now."""
        newest = self._count - 1
        for half in DISSOLVE_HALF_LENGTHS:
            margin = max(2, half // 2)
            first, last = newest - margin - 2 * half, newest - margin
            if first - margin < self._last or first < margin:
                return []
            ends = np.stack([self._at(first).luma.ravel(), self._at(last).luma.ravel()])
            ends -= ends.mean(1, keepdims=True)
            power = ends @ ends.T
            if (
                abs(power[0, 1]) > MAX_END_CORRELATION * np.sqrt(power[0, 0] * power[1, 1])
                or min(power[0, 0], power[1, 1]) == 0
            ):
                continue
            inverse = np.linalg.inv(power)
            middle, left = self._mixture(first + half, ends, inverse)
            if middle.min() < MIN_MIDDLE_SHARE or left > MAX_RESIDUAL_VARIANCE * (1 - MIN_END_DIFFERENCE):
                continue
            shares = np.array([self._mixture(i, ends, inverse)[0] for i in range(first - margin, newest + 1)])
            grows = np.diff(shares[margin:-margin], axis=0) * (-1, 1)
            if grows.min() < -MAX_OVERSHOOT:
                continue
            inside = shares[margin:-margin]
            turn = first + int(np.argmax(inside[:, 1] > inside[:, 0]))
            if abs(turn - first - half) > max(1, half // 4):
                continue
            apart = _difference(self._at(first), self._at(last))
            before, after = shares[0], shares[-1]
            still = (
                min(before[0], after[1]) > 1 - 2 * MAX_OVERSHOOT and max(abs(before[1]), abs(after[0])) < MAX_OVERSHOOT
            )
            if not still or left > MAX_RESIDUAL_VARIANCE * (apart - MIN_END_DIFFERENCE):
                continue
            self._blend_over = last
            return [turn]
        return []

    def _mixture(self, index: int, ends: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, float]:
        """How much of either end is in a frame, and the share of the frame's variance that is of neither."""
        luma = self._at(index).luma.ravel()
        luma = luma - luma.mean()
        shares = inverse @ (ends @ luma)
        rest = luma - shares @ ends
        return shares, float(rest @ rest) / max(float(luma @ luma), 1.0)


def shot_ranges(starts: Iterable[int], frames: int) -> tuple[tuple[int, int], ...]:
    """First frames of new shots → half-open ranges that together cover a clip of `frames` frames."""
    edges = sorted({0, frames, *(start for start in starts if 0 < start < frames)})
    return tuple(pairwise(edges))


def _reduced(frame: Frame, index: int) -> _ReducedFrame:
    rgb = np.nan_to_num(frame.rgb(size=(SIDE, SIDE)).numpy()) * np.float32(255)
    luma = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]
    contrast = float(luma.std())
    deviation = max(contrast, MIN_CONTRAST)
    colours = _block_means(np.stack([rgb[0] - luma, rgb[2] - luma]), BLOCK // 2) / deviation
    blank = float(_block_means(luma[None], BLOCK).std()) < MAX_BLANK_DEVIATION
    return _ReducedFrame(index, luma, (luma - float(luma.mean())) / deviation, colours, contrast, blank)


def _difference(one: _ReducedFrame, other: _ReducedFrame) -> float:
    """0 for the same content, about 1 for unrelated pictures."""
    apart = float(np.abs(one.shape - other.shape).mean())
    if apart > MAX_REPEAT_DIFFERENCE:
        apart = (_block_residual(one.shape, other.shape) + _block_residual(other.shape, one.shape)) / 2
    colour = (_color_residual(one.colours, other.colours) + _color_residual(other.colours, one.colours)) / 2
    return apart + COLOR_WEIGHT * colour / 2


def _plain_difference(one: _ReducedFrame, other: _ReducedFrame) -> float:
    """The same without looking for blocks elsewhere: whatever moves counts."""
    return float(np.abs(one.shape - other.shape).mean())


def _block_residual(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of `other`'s blocks with the best place of `one`'s near theirs."""
    moved = sliding_window_view(np.pad(one, MAX_BLOCK_MOTION, mode="edge"), (SIDE, SIDE))  # (9, 9, SIDE, SIDE)
    rows = np.abs(moved - other).reshape(-1, BLOCK) @ np.ones(BLOCK, np.float32)
    blocks = rows.reshape(-1, SIDE // BLOCK, BLOCK, SIDE // BLOCK).sum(2)
    return float(blocks.min(0).mean()) / BLOCK**2


def _color_residual(one: np.ndarray, other: np.ndarray) -> float:
    side = one.shape[-1]
    padded = np.pad(one, ((0, 0), (1, 1), (1, 1)), mode="edge")
    moved = sliding_window_view(padded, (side, side), axis=(1, 2))  # (2, 3, 3, side, side)
    return float(np.abs(moved - other[:, None, None]).sum(0).min((0, 1)).mean())


def _block_means(planes: np.ndarray, block: int) -> np.ndarray:
    count, side = len(planes), SIDE // block
    return planes.reshape(count, side, block, side, block).mean((2, 4))


def _median(values: Iterable[float]) -> float:
    values = sorted(values)
    return values[len(values) // 2] if values else 0.0
