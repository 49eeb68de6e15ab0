"""Detects shot boundaries in streamed frames: cuts, fades and dissolves.

Every frame is reduced to 32 × 32 pixels. Two frames are compared by motion-compensated block matching: each block is
matched near its position in the other picture, so that the residual ignores pans, shake and moving people and counts
only new content. A cut is a difference well above those of the frames around it that isn't reversed one or two frames
later, as after a flash. A jump cut shows the same people against the same background at another size or position in a
calm scene; blocks would find their match there, so the plain difference is compared. A dissolve is a range of frames
that are all mixtures of its first and its last frame with a growing share of the latter (the linear mixing model of
film editing), while these two don't match.

A boundary is the first frame of the new shot. Black or white frames belong to the shot that follows them, so a fade's
boundary is its first blank frame and nothing is tracked or smoothed across it. A dissolve's is the first frame that
shows more of the new shot than of the old one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...video.frame import Frame
from ..face_options import FaceOptions

LAG = 3  # frames by which cuts and fades are reported late: later frames distinguish them from flashes and fast motion

SIDE = 32  # pixels: the reduced picture's width and height
BLOCK = 8  # pixels: a block's side
MAX_BLOCK_MOTION = 4  # pixels that a block may have moved by: an eighth of the picture from frame to frame
MIN_CONTRAST = 4.0  # levels of 255: normalisation amplifies lower contrast no further, so that noise isn't compared
COLOR_WEIGHT = 0.5  # of the colour difference, relative to brightness

MAX_BLANK_DEVIATION = 1.0  # levels: standard deviation of a blank frame's block means, in which grain averages out
MAX_REPEAT_DIFFERENCE = 0.01  # a frame that differs less is a repeat, which says nothing about motion
BASE_DIFFERENCE = 0.1  # allowed between any two frames; a cut from a person to the empty background has 0.4
JUMP_CUT_RATIO = 4.0  # to the plain differences around it: true jump cuts have 8, other motion 2.4
MIN_JUMP_CUT_DIFFERENCE = 0.15  # plain difference of a jump cut, at least
JUMP_CUT_OFFSET = 0.02  # added to the plain differences around it
HISTORY_FRAMES = 5  # differences before a frame that give the usual motion; more than a flash causes
MAX_FLASH_FRAMES = 2  # frames of a flash, at most
FADE_IN_CONTRAST_RATIO = 1.02  # to the previous frame's contrast, while a shot fades in

DISSOLVE_HALF_LENGTHS = (3, 5, 8, 12, 18, 27)  # frames from a dissolve's middle to its ends; 27: two seconds in all
MAX_END_CORRELATION = 0.7  # absolute, between a dissolve's ends: a nodding close-up has 0.79
MIN_MIDDLE_SHARE = 0.2  # of each end in a dissolve's middle, at least
MAX_RESIDUAL_VARIANCE = 0.35  # of a frame's variance, per unit of difference of the ends above MIN_END_DIFFERENCE
MAX_OVERSHOOT = 0.2  # share of one end in frames beyond the other, at most: the dissolve is complete
MIN_END_DIFFERENCE = 0.2  # between a dissolve's ends; below it there is none


@dataclass(frozen=True, eq=False)
class _ReducedFrame:
    """A frame reduced for comparison."""

    index: int
    luma: np.ndarray  # (SIDE, SIDE) float32 levels 0 to 255
    shape: np.ndarray  # luma with mean 0 and deviation 1, which cancels changes of light and exposure
    colours: np.ndarray  # (2, 8, 8) float32: red and blue less luma, divided by the same deviation
    contrast: float  # standard deviation of luma
    blank: bool


class ShotDetector:
    """Reports the first frames of new shots while a clip is streamed; memory doesn't grow with the clip."""

    def __init__(self, threshold: float = FaceOptions.shot_threshold) -> None:
        """`threshold`: the ratio of a cut's difference to the usual one, 1 to 10."""
        self._threshold = threshold
        self._frames: deque[_ReducedFrame] = deque(maxlen=3 * DISSOLVE_HALF_LENGTHS[-1] + 3)
        # Differences between each frame and the previous one.
        self._differences: deque[float] = deque(maxlen=HISTORY_FRAMES + LAG + 1)
        self._plain_differences: deque[float] = deque(maxlen=2 * HISTORY_FRAMES + LAG + 1)
        self._recent_differences: deque[float] = deque(maxlen=HISTORY_FRAMES)  # of this shot, up to the tested frame
        self._count = 0
        self._last = 0  # the last boundary
        self._fading_in = False  # whether a shot is fading in
        self._dissolve_end = 0  # the last frame of the last dissolve

    def add(self, frame: Frame) -> list[int]:
        """Takes the clip's next frame; returns the first frames of shots that it confirms, ascending.

        Cuts and fades are reported at most LAG frames late, dissolves when they are complete.
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
        """Tests the clip's last frames; returns the first frames of shots."""
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
        """[`index`] if that frame starts a shot, by the frames known around it, else []."""
        if index == 0:
            return []
        step = self._differences[index - self._count]
        stop = min(index + LAG + 1, self._count)
        ahead = [self._differences[i - self._count] for i in range(index + 1, stop)]
        repeated = index > 1 and self._differences[index - 1 - self._count] <= MAX_REPEAT_DIFFERENCE
        if repeated and ahead and ahead[0] <= MAX_REPEAT_DIFFERENCE:  # every picture is repeated: skip the repeats
            ahead = [value for value in ahead if value > MAX_REPEAT_DIFFERENCE]
        typical = max(_median(self._recent_differences), _median(ahead))
        threshold = self._threshold * (BASE_DIFFERENCE + typical)
        before, here = self._at(index - 1), self._at(index)
        blank = here.blank or before.blank
        is_brightening = here.contrast > FADE_IN_CONTRAST_RATIO * before.contrast
        self._fading_in = blank or (self._fading_in and is_brightening)
        starts = False
        if blank:
            starts = here.blank and not before.blank and not self._is_flash(index, threshold)
        elif step > threshold and index > self._dissolve_end and not self._fading_in:
            fades = any(self._at(i).blank for i in range(index, stop))  # a fade: its boundary is the first blank frame
            starts = not fades and self._min_difference(index, _difference) > threshold
            step = 0.0  # a flash says nothing about motion
        elif index > self._dissolve_end and not self._fading_in:
            starts = self._is_jump_cut(index)
        if starts:
            return [index]
        if (step > MAX_REPEAT_DIFFERENCE or repeated) and not blank:
            self._recent_differences.append(step)
        return []

    def _is_jump_cut(self, index: int) -> bool:
        """Whether the whole picture moves from the previous frame to `index`, but hardly before and after."""
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
        """The least difference across `index` of frames up to a flash apart: small if the change is reversed."""
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
        """[boundary] of a dissolve that the newest frame completes, else []."""
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
            middle, residual = self._mixture(first + half, ends, inverse)
            if middle.min() < MIN_MIDDLE_SHARE or residual > MAX_RESIDUAL_VARIANCE * (1 - MIN_END_DIFFERENCE):
                continue
            shares = np.array([self._mixture(i, ends, inverse)[0] for i in range(first - margin, newest + 1)])
            inside = shares[margin:-margin]
            growth = np.diff(inside, axis=0) * (-1, 1)
            if growth.min() < -MAX_OVERSHOOT:
                continue
            turn = first + int(np.argmax(inside[:, 1] > inside[:, 0]))
            if abs(turn - first - half) > max(1, half // 4):
                continue
            end_difference = _difference(self._at(first), self._at(last))
            before, after = shares[0], shares[-1]
            wrong_shares = max(abs(before[1]), abs(after[0]))
            is_complete = min(before[0], after[1]) > 1 - 2 * MAX_OVERSHOOT and wrong_shares < MAX_OVERSHOOT
            if not is_complete or residual > MAX_RESIDUAL_VARIANCE * (end_difference - MIN_END_DIFFERENCE):
                continue
            self._dissolve_end = last
            return [turn]
        return []

    def _mixture(self, index: int, ends: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, float]:
        """(2,) the shares of both ends in a frame, and the fraction of its variance that they don't explain."""
        luma = self._at(index).luma.ravel()
        luma = luma - luma.mean()
        shares = inverse @ (ends @ luma)
        residual = luma - shares @ ends
        return shares, float(residual @ residual) / max(float(luma @ luma), 1.0)


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
    """The motion-compensated difference: 0 for the same content, about 1 for unrelated pictures."""
    luma = float(np.abs(one.shape - other.shape).mean())
    if luma > MAX_REPEAT_DIFFERENCE:
        luma = (_block_residual(one.shape, other.shape) + _block_residual(other.shape, one.shape)) / 2
    colour = (_color_residual(one.colours, other.colours) + _color_residual(other.colours, one.colours)) / 2
    return luma + COLOR_WEIGHT * colour / 2


def _plain_difference(one: _ReducedFrame, other: _ReducedFrame) -> float:
    """The difference without motion compensation: all motion counts."""
    return float(np.abs(one.shape - other.shape).mean())


def _block_residual(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference between `other`'s blocks and their best matches near the same position in `one`."""
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
