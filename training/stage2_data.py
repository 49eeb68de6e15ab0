"""What the U-Net's second stage learns from: windows as in the first, with their true pictures and their sound."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentsync_core.evaluation.sync_mel import mel_windows, sync_mel

from .features import SIDE, Features
from .sequences import Sequences
from .train_unet import SHARED, SILENT, WINDOW, Windows, channel_sizes, condition_of, signal_shares


@dataclass(frozen=True, eq=False)
class Shown:
    """b windows of 16 frames as the network sees them, and what its drawings are held against."""

    windows: Windows
    pictures: Tensor  # (b, 3, 16, 128, 128) in [-1, 1], the true ones
    sounds: Tensor  # (b, 1, 80, 52), as SyncNet hears them
    heard: Tensor  # (b,) bool, false where the network hears nothing

    def to(self, device: torch.device) -> Shown:
        return Shown(self.windows.to(device), *(part.to(device) for part in (self.pictures, self.sounds, self.heard)))


class Stage2Clips:
    """Drawn clips and their features, the same clips in both; `sizes` (384,) is what the states are divided by."""

    def __init__(self, seen: Features, drawn: Sequences) -> None:
        self.sizes = channel_sizes(seen)
        self._seen, self._drawn = seen, drawn
        self._mel = functools.cache(self._mel_of)

    def __len__(self) -> int:
        return len(self._seen)

    def shown(self, step: int, seed: int, count: int) -> Shown:
        """The windows of this step, of `count` clips, drawn like the first stage's (`train_unet.windows_of`).

        Nothing but step, seed and count decides which they are, how noisy, and what is heard.
        """
        rng = np.random.default_rng((15487583, seed, step))
        draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
        clean, condition, audio, pictures, sounds, heard = [], [], [], [], [], []
        for clip in (int(v) for v in rng.choice(len(self), count, replace=len(self) < count)):
            at = int(rng.integers(0, self._seen.whole.shape[1] - WINDOW + 1))
            clean.append(_part(self._seen.whole, clip, at))
            condition.append(condition_of(self._seen, rng, clip, at))
            heard.append(rng.random() >= SILENT)
            audio.append(self._seen.audio(clip, range(at, at + WINDOW)) / self.sizes * heard[-1])
            pictures.append(_part(self._drawn.crops, clip, at) / 127.5 - 1)
            sounds.append(mel_windows(self._mel(clip), [at]))
        common, own = (torch.randn((count, 4, frames, SIDE, SIDE), generator=draw) for frames in (1, WINDOW))
        places = (rng.permutation(count) + rng.random(count)) / count
        windows = Windows(
            torch.stack(clean).transpose(1, 2),  # b f c h w -> b c f h w
            torch.stack(condition).transpose(1, 2),
            torch.stack(audio),
            math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own,
            torch.from_numpy((places * len(signal_shares())).astype(np.int64)),
        )
        return Shown(windows, torch.stack(pictures).transpose(1, 2), torch.cat(sounds), torch.tensor(heard))

    def _mel_of(self, clip: int) -> Tensor:
        return sync_mel(torch.from_numpy(np.array(self._drawn.waveforms[clip], np.float32)) / 32767)


def _part(of: np.ndarray, clip: int, at: int) -> Tensor:
    """A window's frames (16, ...) float32."""
    return torch.from_numpy(np.array(of[clip, at : at + WINDOW])).float()
