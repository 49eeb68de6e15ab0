"""Window plans: a timeline is cut into the short sequences that the networks take, and joined again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..runs import runs_where
from .sampler_options import WindowOptions


@dataclass(frozen=True)
class Window:
    """Output frames start..stop-1, drawn together."""

    start: int
    stop: int

    @property
    def frames(self) -> range:
        return range(self.start, self.stop)


def plan_windows(present: np.ndarray, options: WindowOptions, track_ids: np.ndarray | None = None) -> list[Window]:
    """Cuts every unbroken run of frames with a face into windows; none spans a gap, nor a change of faces or shots.

    Args:
        present: (F,) bool, whether an output frame has a face to draw.
        track_ids: (F,) whole numbers: all frames of a window have the same one, so that it spans no cut.

    Returns:
        Windows in order. Neighbours in a run share `overlap` frames, the last pair more where `full_last` shifts the
        last one back. A run shorter than a window is one short window.
    """
    windows = []
    for start, stop in runs_where(present, *([] if track_ids is None else [track_ids])):
        at = start
        while True:
            end = min(at + options.frames, stop)
            if options.full_last:
                at = max(start, end - options.frames)
            windows.append(Window(at, end))
            if end == stop:
                break
            at = end - options.overlap
    return windows


def cross_fade(earlier: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Blends two draws of the same n frames, (n, ...) each: linearly from the earlier window to the later one."""
    n = len(earlier)
    weight = torch.arange(1, n + 1, dtype=earlier.dtype, device=earlier.device) / (n + 1)
    return torch.lerp(earlier, later, weight.view(n, *[1] * (earlier.ndim - 1)))


def next_starts(windows: Sequence[Window]) -> list[int]:
    """Of each window the first frame of the next one, of the last its own end: frames before that are finished."""
    return [window.start for window in windows[1:]] + [window.stop for window in windows[-1:]]


def part_ranges(windows: Sequence[Sequence[Window]], frames: int, target: int) -> list[tuple[int, int]]:
    """Half-open ranges of frames that can be sampled apart from each other, each of about `target` frames.

    Ranges end where no window reaches across: at a cut, where no face is, or between two windows of a long take. Where
    there is no such place within twice the target, as with windows that overlap, a range ends in a window, which is
    then sampled on both sides.

    Args:
        windows: of each face that is synced.
        frames: F, of the timeline.

    Returns:
        The ranges that have windows, in order; together they hold every frame of a window.
    """
    reached = np.zeros(frames + 1, np.int64)  # +1 from where a window reaches across a frame's beginning, -1 after
    busy = np.zeros(frames, bool)
    for window in itertools.chain.from_iterable(windows):
        reached[window.start + 1] += 1
        reached[window.stop] -= 1
        busy[window.start : window.stop] = True
    free = np.flatnonzero(reached.cumsum() == 0)
    ranges, first = [], 0
    while first < frames:
        if frames - first < 2 * target:
            stop = frames
        else:
            near = free[(free >= first + target) & (free <= first + 2 * target)]
            stop = int(near[0]) if len(near) else first + 2 * target
        if busy[first:stop].any():
            ranges.append((first, stop))
        first = stop
    return ranges


class WindowBlender:
    """Cross-fades the frames that neighbouring windows share, window by window in order."""

    def __init__(self) -> None:
        self._pending: dict[int, torch.Tensor] = {}

    def add(self, window: Window, latents: torch.Tensor, next_start: int) -> list[tuple[int, torch.Tensor]]:
        """Takes a window's (f, ...) latents; returns those of frames before `next_start`, which no later one shares."""
        by_frame = dict(zip(window.frames, latents, strict=True))
        shared = [frame for frame in window.frames if frame in self._pending]
        if shared:
            earlier = torch.stack([self._pending[frame] for frame in shared])
            later = torch.stack([by_frame[frame] for frame in shared])
            by_frame.update(zip(shared, cross_fade(earlier, later), strict=True))
        self._pending = {frame: by_frame[frame] for frame in window.frames if frame >= next_start}
        return [(frame, by_frame[frame]) for frame in window.frames if frame < next_start]
