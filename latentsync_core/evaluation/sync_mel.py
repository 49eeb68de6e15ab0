"""SyncNet's mel spectrogram, and the part of it that belongs to a window of video frames.

Not Whisper's (`log_mel`): longer windows, decibels of the magnitude instead of a logarithm of the power, and nothing
that depends on the rest of the recording. It is Wav2Lip's (Prajwal et al. 2020, https://arxiv.org/abs/2008.10010),
which LatentSync kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..errors import AudioError, OptionError
from ..models.whisper.log_mel import SAMPLE_RATE, slaney_filters

N_MELS = 80
N_FFT = 800  # samples, 50 ms
HOP_LENGTH = 200  # samples, 12.5 ms
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP_LENGTH  # 80
MIN_HZ, MAX_HZ = 55.0, 7600.0
PRE_EMPHASIS = 0.97  # of the sample before, subtracted
MIN_MAGNITUDE = 1e-5  # magnitude under which the decibels stop falling
REFERENCE_DB = 20.0  # this level stands for 0 dB,
DYNAMIC_RANGE_DB = 100.0  # and what lies this far under it for silence
MAX_ABS_VALUE = 4.0  # values run from -TOP, silence, to TOP

WINDOW_FRAMES = 16  # video frames that SyncNet looks at together
SYNCNET_FPS = 25  # the only rate it knows
BLOCK_COLUMNS = 4800  # columns computed at once: a minute of sound


def sync_mel(waveform: torch.Tensor) -> torch.Tensor:
    """The spectrogram of a whole recording, as the reference makes it (in float64 inside, as there).

    Args:
        waveform: (S,) floating point in about [-1, 1] at 16 kHz.

    Returns:
        (80, 1 + S // 200) float32 in [-4, 4]: a column every 12.5 ms, the first centred on sample 0, -4 for silence.

    Raises:
        AudioError: the waveform has another shape or no samples.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise AudioError(f"The sound has shape {tuple(waveform.shape)}, not (samples,): give one channel at 16 kHz.")
    samples = waveform.double()
    samples = torch.cat([samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1]])
    samples = F.pad(samples, (N_FFT // 2, N_FFT // 2))
    columns = 1 + len(waveform) // HOP_LENGTH
    blocks = range(0, columns, BLOCK_COLUMNS)
    return torch.cat([_columns(samples, at, min(at + BLOCK_COLUMNS, columns)) for at in blocks], dim=1)


def mel_windows(mel: torch.Tensor, starts: Sequence[int], frames: int = WINDOW_FRAMES) -> torch.Tensor:
    """The mel window of each group of `frames` video frames at 25 fps, beginning at the frames `starts`.

    Args:
        mel: (80, T) as `sync_mel` gives it.
        starts: first video frames; negative ones and ones past the end are welcome, outside the sound is silence.

    Returns:
        (len(starts), 1, 80, window_columns(frames)) of the mel's dtype.

    Raises:
        AudioError: the mel has another shape.
        OptionError: `starts` is empty.
    """
    if mel.ndim != 2 or mel.shape[0] != N_MELS:
        raise AudioError(f"The mel spectrogram has shape {tuple(mel.shape)}, not ({N_MELS}, T): make it with sync_mel.")
    if not len(starts):
        raise OptionError("There is no window to cut: give the first frame of at least one.")
    first = [COLUMNS_PER_SECOND * int(start) // SYNCNET_FPS for start in starts]
    within = torch.arange(window_columns(frames), device=mel.device)
    index = torch.tensor(first, device=mel.device)[:, None] + within  # (n, columns)
    outside = (index < 0) | (index >= mel.shape[1])
    windows = mel[:, index.clamp(0, mel.shape[1] - 1)].movedim(0, 1)  # 80 n columns -> n 80 columns
    return windows.masked_fill(outside[:, None], -MAX_ABS_VALUE)[:, None]


def window_columns(frames: int = WINDOW_FRAMES) -> int:
    """Mel columns that go with so many video frames, rounded up: 52 for 16."""
    return math.ceil(frames * COLUMNS_PER_SECOND / SYNCNET_FPS)


def _columns(padded: torch.Tensor, first: int, stop: int) -> torch.Tensor:
    """Columns first..stop-1 of the spectrogram of samples padded by half a window."""
    samples = padded[first * HOP_LENGTH : (stop - 1) * HOP_LENGTH + N_FFT]
    hann, filters = (constant.to(samples.device) for constant in _constants())
    spectrum = torch.stft(samples, N_FFT, HOP_LENGTH, window=hann, center=False, return_complex=True)  # (401, n)
    decibels = 20 * (filters @ spectrum.abs()).clamp(min=MIN_MAGNITUDE).log10() - REFERENCE_DB
    return (
        (2 * MAX_ABS_VALUE * (decibels + DYNAMIC_RANGE_DB) / DYNAMIC_RANGE_DB - MAX_ABS_VALUE)
        .clamp(-MAX_ABS_VALUE, MAX_ABS_VALUE)
        .float()
    )


@functools.cache
def _constants() -> tuple[torch.Tensor, torch.Tensor]:
    """The window (800,) and the filters (80, 401), both float64."""
    filters = slaney_filters(N_MELS, N_FFT, MIN_HZ, MAX_HZ)
    return torch.hann_window(N_FFT, dtype=torch.float64), filters.double()
