"""Window plans: how a timeline of frames is cut into the short sequences that the network sees, and joined again."""

from __future__ import annotations

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
