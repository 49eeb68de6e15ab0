"""New faces for small clips without any network: patterns stand for the drawn mouths, a few pixels for the decoder."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.sampling.patch_store import PatchStore
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.clip import Clip

RESOLUTION = 64
SIDE = RESOLUTION // 8


class PixelCodec:
    """Decodes a latent (4, h, w) by enlarging its first three channels; counts what it decoded."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.decoded += len(latents)
        return F.interpolate(latents[:, :3], scale_factor=8, mode="bilinear")


def synced_faces(clip: Clip, without_face: tuple[int, ...] = (), faces_wide: float = 0.7) -> SyncedFaces:
    """A face in the middle of every frame but `without_face`, its crop `faces_wide` of the frame's height."""
    frames = clip.frame_count
    scale = RESOLUTION * 100 / 256 * 2.8 / (clip.height * faces_wide)  # crop pixels per source pixel
    transforms = np.zeros((frames, 2, 3), np.float32)
    for index in range(frames):
        angle = 0.1 * index
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([clip.width / 2 + index, clip.height / 2])
        transforms[index] = np.column_stack([linear, np.array([26, 35]) - linear @ centre])
    transforms[list(without_face)] = np.nan
    store = PatchStore("test", frames, (4, SIDE, SIDE))
    generator = torch.Generator().manual_seed(11)
    for index in set(range(frames)) - set(without_face):
        store.put(index, torch.rand(4, SIDE, SIDE, generator=generator) * 2.4 - 1.2)  # some beyond what a picture holds
    blend = np.ones(frames, np.float32)
    blend[list(without_face)] = 0
    return SyncedFaces(
        faces=FaceTracks(clip, (), ((0, frames),), AlignOptions(), TouchLimits(), ()),
        transforms=transforms,
        patches=store,
        codec=PixelCodec(),
        resolution=RESOLUTION,
        audio=None,
        source_index=np.arange(frames),
        blend=blend,
        pts=clip.pts,
    )
