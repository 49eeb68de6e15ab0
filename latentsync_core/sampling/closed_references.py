"""Closed mouths for the reference: for each frame the latents of a frame nearby in which the mouth is closed.

A frame that is its own reference shows the network the filmed mouth, and weights that were trained so copy some of it.
Another frame of the same shot shows the same mouth in the same light, but nothing of what it says at the time. Only
lips and chin are taken from there (`replace_mouth`): with the whole frame, skin that has moved since would be copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .windows import Window

REACH = 5.0  # seconds from a frame to its reference, at most: light and expression last about so long
MAX_TURN = 12.0  # degrees between the heads of both, at most
MAX_CLOSED_SHARE = 0.15  # of the range of a shot's openings: a mouth that counts as closed
RANGE_PERCENTILES = (5, 95)  # of the openings: the ends of that range
CUT_TOGETHER = 8  # crops that are held at once


def closed_frames(
    openings: np.ndarray, turns: np.ndarray, times: np.ndarray, runs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """(F,) int64: for every frame that one from which its mouth comes; frames beyond `runs` are their own.

    It is of the same run, at most REACH away, and turned alike: of those whose mouth is closed the nearest in time and
    turn, where none is closed the one that is open least.

    Args:
        openings: (F,) of the mouth; NaN where it is hidden.
        turns: (F, 2) degrees of yaw and pitch.
        times: (F,) seconds, rising.
        runs: half-open ranges of frames of one face in one shot.
    """
    chosen = np.arange(len(openings))
    for first, stop in runs:
        own = openings[first:stop]
        if not np.isfinite(own).any():
            continue
        low, high = np.nanpercentile(own, RANGE_PERCENTILES)
        limit = low + MAX_CLOSED_SHARE * (high - low)
        for frame in range(first, stop):
            start, end = np.searchsorted(times, (times[frame] - REACH, times[frame] + REACH), "left")
            near = np.arange(max(start, first), min(max(end, frame + 1), stop))
            turn = np.linalg.norm(turns[near] - turns[frame], axis=1)
            near, turn = near[turn <= MAX_TURN], turn[turn <= MAX_TURN]
            known = np.isfinite(openings[near])
            if not known.any():
                continue
            near, turn = near[known], turn[known]
            closed = openings[near] <= limit
            if closed.any():
                away = np.abs(times[near] - times[frame]) / REACH + turn / MAX_TURN
                chosen[frame] = near[np.where(closed, away, np.inf).argmin()]
            else:
                chosen[frame] = near[openings[near].argmin()]
    return chosen


class ClosedReferences:
    """Encodes each reference frame once, by itself, so that a resumed run comes to the same bits.

    Frames are cut in rising order, those that only later windows need included; what no later window needs is dropped.
    """

    def __init__(
        self,
        chosen: np.ndarray,
        cut: Callable[[Sequence[int]], Mapping[int, torch.Tensor]],
        encode: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """
        Args:
            chosen: (F,) see `closed_frames`.
            cut: gives the crops (3, R, R) in [0, 1] of some frames, by frame.
            encode: takes a crop (1, 3, R, R) in [-1, 1] and gives its latents (1, 4, h, w).
        """
        self._chosen = chosen
        self._cut = cut
        self._encode = encode
        self._last_use = np.full(len(chosen), -1)
        np.maximum.at(self._last_use, chosen, np.arange(len(chosen)))
        self._to_encode = np.flatnonzero(self._last_use >= 0)
        self._at = 0  # the place in `_to_encode` of the first frame that isn't encoded
        self._latents: dict[int, torch.Tensor] = {}

    def of_window(self, window: Window) -> torch.Tensor:
        """(f, 4, h, w) float32 on the CPU: the closed mouths of a window's frames. Windows come in rising order."""
        needed = self._chosen[window.start : window.stop]
        self._latents = {
            frame: latents for frame, latents in self._latents.items() if self._last_use[frame] >= window.start
        }
        end = int(np.searchsorted(self._to_encode, needed.max(), "right"))
        waiting = [int(frame) for frame in self._to_encode[self._at : end] if self._last_use[frame] >= window.start]
        for first in range(0, len(waiting), CUT_TOGETHER):
            part = waiting[first : first + CUT_TOGETHER]
            crops = self._cut(part)
            for frame in part:
                self._latents[frame] = self._encode(crops[frame][None] * 2 - 1)[0].float().cpu()
        self._at = max(self._at, end)
        return torch.stack([self._latents[frame] for frame in needed.tolist()])
