"""Training data of the U-Net's second stage: windows as in the first, with their true frames and audio."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor

from latentsync_core.evaluation.sync_mel import mel_windows, sync_mel

from ..synthetic.crops import RESOLUTION
from ..takes import Takes
from ..unet.diffusion import draw_noise
from ..unet.features import LATENT_SIZE, Features
from ..unet.low_frequency import drawn_weight
from ..unet.train import (
    AUDIO_DROPOUT,
    WINDOW,
    WindowBatch,
    draw_window,
    make_condition,
    measure_channel_rms,
    sample_steps,
    target_latents,
)


@dataclass(frozen=True, eq=False)
class Stage2Batch:
    """b windows of 16 frames as the network sees them, and what its drawings are held against."""

    windows: WindowBatch
    pictures: Tensor  # (b, 3, 16, 128, 128) in [-1, 1], the true ones; NaN where only their latents are kept
    mels: Tensor  # (b, 1, 80, 52), as SyncNet takes them
    has_audio: Tensor  # (b,) bool, false where the audio was dropped out or is of a silent recording

    def share(self, state: PartialState) -> Stage2Batch:
        """The windows that one of several processes trains on."""
        part = slice(state.process_index, None, state.num_processes)
        return Stage2Batch(self.windows.share(state), self.pictures[part], self.mels[part], self.has_audio[part])

    def to(self, device: torch.device) -> Stage2Batch:
        return Stage2Batch(
            self.windows.to(device), *(part.to(device) for part in (self.pictures, self.mels, self.has_audio))
        )


class Stage2Clips:
    """Rendered clips and their features in any number of appearances; pictures are kept of the clips' own alone.

    Whisper's states are divided by `channel_rms` (384,).
    """

    def __init__(self, seen: Features, drawn: Takes) -> None:
        self.channel_rms = measure_channel_rms(seen)
        self._seen, self._drawn = seen, drawn
        self._mel = functools.cache(self._mel_of)

    def __len__(self) -> int:
        return len(self._seen)

    def batch(self, step: int, seed: int, count: int) -> Stage2Batch:
        """The windows of this step, of `count` clips, drawn like the first stage's (`unet.train.sample_windows`).

        Step, seed and count alone decide which they are, their noise and their audio.
        """
        rng = np.random.default_rng((15487583, seed, step))
        draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
        clean, condition, audio, openings, pictures, mels, has_audio = [], [], [], [], [], [], []
        for any_clip in rng.choice(len(self), count, replace=len(self) < count):
            window = draw_window(self._seen, rng, int(any_clip))
            clip, at = window.clip, window.start
            frames, shown = make_condition(self._seen, rng, clip, at)
            clean.append(target_latents(self._seen, clip, shown, at))
            condition.append(frames)
            take = clip % len(self._drawn)
            openings.append(_part(self._seen.openings, take, at))
            kept = rng.random() >= AUDIO_DROPOUT
            audio.append(window.audio / self.channel_rms * kept)
            has_audio.append(kept and not window.silent)
            if clip == take:
                old, new = (_part(self._drawn.crops, one, at) / 127.5 - 1 for one in (shown, clip))
                pictures.append(torch.lerp(old, new, drawn_weight(RESOLUTION)))
            else:
                pictures.append(torch.full((WINDOW, *self._drawn.crops.shape[2:]), torch.nan))
            mels.append(mel_windows(self._mel(take), [at]))
        windows = WindowBatch(
            torch.stack(clean).transpose(1, 2),  # b f c h w -> b c f h w
            torch.stack(condition).transpose(1, 2),
            torch.stack(audio),
            draw_noise(draw, count, WINDOW, LATENT_SIZE),
            torch.from_numpy(sample_steps(rng, count)),
            torch.stack(openings),
        )
        return Stage2Batch(windows, torch.stack(pictures).transpose(1, 2), torch.cat(mels), torch.tensor(has_audio))

    def _mel_of(self, clip: int) -> Tensor:
        return sync_mel(torch.from_numpy(np.array(self._drawn.waveforms[clip], np.float32)) / 32767)


def _part(values: np.ndarray, clip: int, at: int) -> Tensor:
    """A window's frames (16, ...) float32."""
    return torch.from_numpy(np.array(values[clip, at : at + WINDOW])).float()
