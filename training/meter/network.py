"""Measures how far a mouth is open: a small network on aligned crops, and beside it the face mesh, each by itself.

The network was trained on rendered people (`train.py`) and reads the opening off the pixels around the mouth; it
never sees the sound, the frame's place in time or any other frame.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentsync_core.errors import OptionError
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.mouth_opening import mesh_opening
from latentsync_core.faces.tracking.redetect import SingleFaceTracker
from latentsync_core.video.frame import Frame

from .. import paths
from ..synthetic.crops import RESOLUTION, engine_frame

WEIGHTS = paths.WEIGHTS / "mouth_meter.safetensors"
MOUTH_ROWS, MOUTH_COLUMNS = slice(56, 124), slice(22, 106)  # of a 128-pixel crop: what the network looks at
OUTPUT_SCALE = 10.0  # its output is the opening in tenths of a head unit


class MouthMeter(nn.Module):
    """(n, 3, R, R) aligned crops in [0, 1] to (n,) openings in head units; crops of other sizes are resampled."""

    def __init__(self, width: int = 16):
        super().__init__()
        sizes = (3, width, width * 2, width * 3, width * 4)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(sizes)):
            layers += [
                nn.Conv2d(before, after, 5 if number == 0 else 3, 2 if number == 0 else 1, 2 if number == 0 else 1)
            ]
            layers += [nn.GroupNorm(4, after), nn.SiLU()]
            if number:
                layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.LazyLinear(64), nn.SiLU(), nn.Linear(64, 1))
        with torch.no_grad():
            self(torch.zeros(1, 3, RESOLUTION, RESOLUTION))  # the lazy layer learns its size

    def forward(self, crops: Tensor) -> Tensor:
        if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
            raise OptionError(f"the meter takes (n, 3, R, R) crops, not {tuple(crops.shape)}")
        if crops.shape[-1] != RESOLUTION:
            crops = F.interpolate(crops, (RESOLUTION, RESOLUTION), mode="bilinear", antialias=True, align_corners=False)
        mouth = crops[:, :, MOUTH_ROWS, MOUTH_COLUMNS]
        centred = mouth - mouth.mean((2, 3), keepdim=True)  # neither tint nor brightness tells how open a mouth is
        spread = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
        return self.head(self.features(centred / (spread + 0.02)))[:, 0] / OUTPUT_SCALE


@functools.cache
def load_meter(path: Path = WEIGHTS) -> MouthMeter:
    """The trained meter."""
    from safetensors.torch import load_file

    meter = MouthMeter()
    meter.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return meter.eval().requires_grad_(False)


def measure_openings(crops: Tensor) -> np.ndarray:
    """(n,) openings in head units of (n, 3, R, R) aligned crops in [0, 1], not below 0."""
    meter = load_meter()
    parts = [meter(part) for part in crops.float().split(64)]
    return torch.cat(parts).clamp(min=0).numpy()


class MeshMeter:
    """The same by the carried face mesh, frame after frame of one clip: inner lip distance over the face's height."""

    def __init__(self) -> None:
        self._follower = SingleFaceTracker(FaceOptions())

    def __call__(self, picture: np.ndarray) -> float:
        """The opening in (H, W, 3) uint8 RGB as a fraction of the face's height; NaN where no face is found."""
        return self.read(engine_frame(picture))

    def read(self, frame: Frame) -> float:
        """The same of a frame of the engine's."""
        mesh = self._follower.find(frame)
        return float("nan") if mesh is None else mesh_opening(mesh)
