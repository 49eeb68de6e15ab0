"""Aligned crops of plain RGB frames, exactly as the engine cuts them out of a clip."""

from __future__ import annotations

import numpy as np
import torch

from latentsync_core.faces.alignment.align import align_track, crop_face
from latentsync_core.video.frame import Frame
from latentsync_core.video.pixel_format import IN_MEMORY, Layout, PixelFormat

RESOLUTION = 128  # pixels


def engine_frame(picture: np.ndarray, index: int = 0) -> Frame:
    """(H, W, 3) uint8 RGB as a frame of the engine's."""
    height, width, _ = picture.shape
    layout = Layout(PixelFormat(IN_MEMORY, 32, 0, 0, True, True), width, height, 0, None, True, (0.0, 0.0))
    return Frame((picture.astype(np.float32) / 255,), index, index, layout)


def aligned_crop(picture: np.ndarray, three_points: np.ndarray, resolution: int = RESOLUTION) -> torch.Tensor:
    """The face crop of (H, W, 3) uint8 RGB: (3, R, R) float32 in [0, 1]; `three_points` (3, 2) are brows and nose."""
    transform = align_track(three_points[None], np.array([True]), resolution)[0]
    return crop_face(engine_frame(picture), transform, resolution)
