"""The stages around sampling, of benchmarks.sampling: crops cut out of 1080p frames, and faces pasted back."""

from __future__ import annotations

import numpy as np
import torch

from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.compositor import mouth_region, paste_face
from latentsync_core.faces.alignment.align import crop_face, crop_size
from latentsync_core.video.frame import Frame

from ..compositing import noise_frame

WIDTH, HEIGHT, FACE_WIDTH = 1920, 1080, 300  # pixels of a frame, and of the crop in it


def crop_frames(count: int, size: int) -> tuple[torch.Tensor, list[Frame], np.ndarray]:
    """(count, 3, size, size) crops in [0, 1] of frames of noise, the frames, and their transform."""
    scale = crop_size(size)[0] / FACE_WIDTH
    transform = np.array([[scale, 0, -WIDTH * 0.39 * scale], [0, scale, -HEIGHT * 0.32 * scale]], np.float32)
    frames = [noise_frame("yuv420p", WIDTH, HEIGHT) for _ in range(count)]
    return cut_crops(frames, transform, size), frames, transform


def cut_crops(frames: list[Frame], transform: np.ndarray, size: int) -> torch.Tensor:
    """(n, 3, size, size) crops in [0, 1] of frames."""
    return torch.stack([crop_face(frame, transform, size) for frame in frames])


def paste_frames(frames: list[Frame], faces: torch.Tensor, transform: np.ndarray, size: int) -> None:
    """Pastes (n, 3, size, size) faces into their frames' mouth regions."""
    options, region = CompositeOptions(region=Region.MOUTH), mouth_region(size)
    for frame, face in zip(frames, faces.cpu(), strict=True):
        paste_face(frame, transform, face, size, options, region)
