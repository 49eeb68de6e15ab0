"""SyncNet's training and test data: windows of faces at 25 fps and their mel spectrograms."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latentsync_core.evaluation.sync_mel import WINDOW_FRAMES as WINDOW
from latentsync_core.evaluation.sync_mel import mel_windows, sync_mel
from latentsync_core.evaluation.syncnet import lower_halves

from ..held_out import held_out, held_out_voices
from ..paths import CACHE

FACE_SIZE = 64  # pixels a side of the faces that the small SyncNet looks at

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SyncClips:
    """Clips in memory: faces (n, frames, 3, 64, 64) uint8, and each one's mel spectrogram (80, T)."""

    faces: np.ndarray
    mels: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.mels)

    @property
    def last_start(self) -> int:
        """The last frame that a whole window begins with."""
        return self.faces.shape[1] - WINDOW

    def windows(self, clip: int, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """SyncNet's pictures (n, 48, 32, 64) in [-1, 1] and its sound (n, 1, 80, 52), of windows of one clip."""
        faces = torch.stack([torch.from_numpy(self.faces[clip, at : at + WINDOW]) for at in starts])
        return lower_halves(faces.float() / 127.5 - 1), mel_windows(self.mels[clip], list(starts))


def sync_clips(crops: Sequence[np.ndarray], waveforms: Sequence[np.ndarray]) -> SyncClips:
    """From (frames, 3, 128, 128) uint8 crops and float or int16 waveforms at 16 kHz."""
    faces = np.stack([small_faces(clip) for clip in crops])
    scale = [32767 if wave.dtype == np.int16 else 1 for wave in waveforms]
    mels = [sync_mel(torch.from_numpy(np.array(w, np.float32)) / s) for w, s in zip(waveforms, scale, strict=True)]
    return SyncClips(faces, mels)


def small_faces(crops: np.ndarray) -> np.ndarray:
    """(n, 3, R, R) uint8 crops as (n, 3, 64, 64) uint8, every pixel the mean of those that it stands for."""
    pictures = torch.from_numpy(np.array(crops)).float()
    return F.interpolate(pictures, (FACE_SIZE, FACE_SIZE), mode="area").round().byte().numpy()


def held_out_sync(clips: int = 40, seconds: float = 3.0, folder: Path | None = CACHE) -> SyncClips:
    """Clips of people, voices and sentences of the test split: the ones that the autoencoder is judged by."""
    return sync_clips(held_out(clips, seconds, folder=folder).crops, held_out_voices(clips, seconds))
