"""Means of reference latents over the seconds around a window, for models whose reference mouths are averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from ..models.reference_mouth import AVERAGED_FRAMES
from .windows import Window

INTERVAL = 3  # frames: every third one is encoded, which changes the mean by far less than a head's motion does


def averaged_frames(window: Window, run: tuple[int, int]) -> range:
    """The frames that the reference mouth of `window` is averaged over.

    They lie around the window, but never beyond `run`, the half-open range of frames of the same face and shot; near
    its ends they reach further to the other side.
    """
    first, end = run
    start = max(first, min((window.start + window.stop - AVERAGED_FRAMES) // 2, end - AVERAGED_FRAMES))
    stop = min(end, max(start + AVERAGED_FRAMES, window.stop))
    return range(start + (first - start) % INTERVAL, stop, INTERVAL)


class ReferenceMeans:
    """Encodes each averaged frame once, by itself, so that a resumed run comes to the same bits."""

    def __init__(self, runs: Sequence[tuple[int, int]], encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`encode` takes a crop (1, 3, R, R) in [-1, 1] and gives its latents (1, 4, h, w)."""
        self._runs = runs
        self._encode = encode
        self._latents: dict[int, torch.Tensor] = {}

    def needed_frames(self, window: Window) -> list[int]:
        """The window's frames and those still to be encoded, and all between them, in order."""
        averaged = self._averaged(window)
        earlier = [frame for frame in averaged if frame < window.start and frame not in self._latents]
        return [*earlier, *range(window.start, max(window.stop, averaged.stop))]

    def around(self, window: Window, crops: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """(4, h, w) on the CPU, given the crops (3, R, R) in [0, 1] of `needed_frames`, by frame."""
        averaged = self._averaged(window)
        self._latents = {frame: latents for frame, latents in self._latents.items() if frame in averaged}
        for frame in averaged:
            if frame not in self._latents:
                self._latents[frame] = self._encode(crops[frame][None] * 2 - 1)[0].float().cpu()
        return torch.stack([self._latents[frame] for frame in averaged]).mean(0)

    def _averaged(self, window: Window) -> range:
        run = next(run for run in self._runs if run[0] <= window.start < run[1])
        return averaged_frames(window, run)
