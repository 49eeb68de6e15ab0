"""How far the new face shows in each segment: fades beside lines that are switched off, and filmed mouths in pauses."""

from __future__ import annotations

import numpy as np

from ...audio.pause_options import PauseBehaviour
from ...faces.limits import fade_weights
from ...runs import runs_where
from .segments import Segments


def segment_blend(
    blend: np.ndarray, segments: Segments, speech: np.ndarray, fade_frames: int, *stretches: np.ndarray
) -> np.ndarray:
    """(F,) float32: `blend` in the segments that are enabled, 0 in the others.

    Beside a line that is switched off the new face fades within the frames of its neighbours, since the line's own are
    left unchanged. Where pauses show the filmed mouth, the new one comes back towards neighbours whose pauses don't,
    within the segment. A line's sound never changes what shows in another one.

    Args:
        blend: (F,) 0 to 1, as of a clip that isn't parted.
        speech: (F,) 0 to 1, how far the voice speaks.
        stretches: (F,) each, of which none changes within a face's stretch of frames; nothing fades beyond it.
    """
    filmed = segments.where(PauseBehaviour.ORIGINAL) | ~segments.enabled
    weights = segments.enabled.astype(np.float32)
    for first, stop in runs_where(blend > 0, *stretches):
        part = slice(first, stop)
        from_enabled = fade_weights(segments.enabled[part], fade_frames, True, True)
        towards_new = 1 - fade_weights(filmed[part], fade_frames, True, True)
        shown = np.where(filmed[part], np.maximum(speech[part], towards_new), 1)
        weights[part] = from_enabled * shown
    return (blend * weights).astype(np.float32)
