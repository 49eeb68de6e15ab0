"""The write loop: renders every frame, hands it to writers and previews, and reports progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..progress import Progress, WorkMeter
from ..sampling.synced_faces import SyncedFaces
from .composite_options import CompositeOptions
from .rendering import RenderedFrame, render

Sink = Callable[[int, RenderedFrame], None]
"""Takes each output frame's index and the frame itself; the index counts from 0."""


def write_rendered(
    synced: SyncedFaces | Sequence[SyncedFaces],
    sinks: Sequence[Sink],
    options: CompositeOptions | None = None,
    foreground: torch.Tensor | None = None,
    on_progress: Progress | None = None,
    frames: range | None = None,
    meter: WorkMeter | None = None,
) -> np.ndarray:
    """Renders all F output frames, or those of `frames`, in order, and hands each to every one of `sinks`.

    One frame is in memory at a time.

    Args:
        meter: measures "paste" and "write" in frames, and "decode" and "patches" as `render` does.

    Returns:
        (F,) bool: whether an object in front of a mouth was left unchanged in that frame.

    Raises:
        OptionError: see `render`; and whatever a sink raises.
    """
    count = len((synced if isinstance(synced, SyncedFaces) else synced[0]).pts)
    frames, meter = range(count) if frames is None else frames, meter or WorkMeter()
    occluded = np.zeros(count, bool)
    pictures = meter.each("paste", render(synced, options, foreground, frames, meter))
    for index, rendered in zip(frames, pictures, strict=True):
        with meter.measure("write", 1):
            for sink in sinks:
                sink(index, rendered)
        occluded[index] = rendered.occluded > 0
        if on_progress:
            on_progress(index + 1 - frames.start, len(frames))
    return occluded
