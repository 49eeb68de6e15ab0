"""Excludes occluded pixels from a generated patch: where a hand or a microphone is in front of the face."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.alignment.align import crop_face
from ..faces.occlusion import occlusion_mask
from ..faces.tracks import PORTRAIT_SIZE
from ..sampling.synced_faces import SyncedFaces
from ..video.frame import Frame

OCCLUSION_CROP_SIZE = PORTRAIT_SIZE  # pixels: the portrait is what the crop is compared with


def subtract_occlusion(
    synced: SyncedFaces, index: int, frame: Frame, region: Tensor | None
) -> tuple[Tensor | None, float]:
    """The part of the patch that shows, less what occludes the face, and the share of it that is left out.

    A face that follows marks by hand may be no human one; nothing is looked for there.

    Args:
        index: the output frame.
        frame: the source's frame that it shows, nothing pasted into it yet.
        region: (n, n) in [0, 1], any n, what would show otherwise; None: all of it.
    """
    number = int(synced.faces.path.track[synced.source_index[index]])
    if number < 0 or synced.faces.tracks[number].by_hand:
        return region, 0.0
    resolution = synced.resolution
    crop = crop_face(
        frame,
        _rescaled(synced.transforms[index], OCCLUSION_CROP_SIZE / resolution),
        OCCLUSION_CROP_SIZE,
        eight_bit=False,
    )
    portrait = torch.from_numpy(synced.faces.tracks[number].portrait).permute(2, 0, 1).float() / 255
    occluded = occlusion_mask(crop, portrait)
    if not occluded.any():
        return region, 0.0
    size = (resolution, resolution) if region is None else tuple(region.shape)
    if size != tuple(occluded.shape):
        occluded = F.interpolate(occluded[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    shown = torch.ones(resolution, resolution) if region is None else region
    remaining = shown * (1 - occluded)
    return remaining, 1 - float(remaining.sum() / shown.sum())


def _rescaled(transform: np.ndarray, scale: float) -> np.ndarray:
    """A transform to crop pixels as one to pixels of a crop `scale` times as large; pixel centres are whole numbers."""
    scaled = transform.astype(np.float64) * scale
    scaled[:, 2] += (scale - 1) / 2
    return scaled
