"""Rendering: the clip's own frames streamed through, the new faces pasted where there are any."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from .compositor import CompositeOptions, mouth_region, paste_face
from .faces.align import crop_face
from .faces.masks import mouth_mask
from .frame import Frame
from .frame_sequence import FrameSequence
from .types import SyncedFaces

DECODE_BATCH = 4  # frames whose latents are decoded together; as many frames are held


@torch.inference_mode()
def render_frames(synced: SyncedFaces, options: CompositeOptions | None = None) -> Iterator[Frame]:
    """Yields the F output frames in order, in the clip's own pixel format; their stamps are `synced.stamps`.

    A frame without a patch passes through as it came. Where there is one, only the mouth region of it is pasted, with a
    soft edge: the rest of the face stays the source's own samples. (Like the reference: the whole crop is pasted, the
    rest of the face being the source's, resampled.)
    """
    options = options or CompositeOptions()
    has_patch = np.isfinite(synced.transforms).all(axis=(1, 2))
    with FrameSequence(synced.faces.clip) as sequence:
        frames = sequence.frames(synced.source_index.tolist())
        for first in range(0, len(has_patch), DECODE_BATCH):
            batch = range(first, min(first + DECODE_BATCH, len(has_patch)))
            held = [next(frames) for _ in batch]
            patched = [index for index in batch if has_patch[index]]
            decoded = iter(synced.codec.decode(synced.patches.get(patched)).float().cpu()) if patched else iter(())
            for index, frame in zip(batch, held, strict=True):
                if has_patch[index]:
                    _paste(frame, synced.transforms[index], next(decoded), synced.resolution, options)
                yield frame


def blend_mouth(drawn: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The drawn mouth region in the source's crop, (..., 3, R, R) each; `mask` (R, R), 1 = keep the source."""
    return drawn * (1 - mask) + source * mask


def _paste(
    frame: Frame, transform: np.ndarray, drawn: torch.Tensor, resolution: int, options: CompositeOptions
) -> None:
    """Blends one decoded crop, (3, R, R) in about [-1, 1], into its frame."""
    region = None
    if options.like_reference:
        source = crop_face(frame, transform, resolution) * 2 - 1
        drawn = blend_mouth(drawn, source, mouth_mask(resolution).float())
    else:
        region = mouth_region(resolution, options.feather)
    paste_face(frame, transform, drawn / 2 + 0.5, resolution, options, region)
