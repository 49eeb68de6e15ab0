"""Whisper's log-mel spectrogram, computed block by block so that a recording of any length fits.

As in openai/whisper: 25 ms windows every 10 ms, the power on the Slaney mel scale, its logarithm cut off 80 dB under
the loudest value of the whole recording. That one value is why a recording is read twice: `measure_peak` finds it,
`normalised_mel` uses it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ...errors import AudioError

SAMPLE_RATE = 16000  # Hz, the only rate Whisper knows
N_FFT = 400  # samples, 25 ms
HOP_LENGTH = 160  # samples, 10 ms: 100 mel frames a second
MIN_POWER = 1e-10  # power under which the logarithm stops falling
DYNAMIC_RANGE = 8.0  # decades of power kept under the recording's loudest value
LINEAR_HZ_PER_MEL = 200 / 3  # Slaney's scale: linear up to the knee,
KNEE_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27  # and above it 27 mels for a factor of 6.4 in frequency


def log_mel(waveform: torch.Tensor, n_mels: int = 80) -> torch.Tensor:
    """The normalised spectrogram of a whole recording.

    Args:
        waveform: (S,) float32 in about [-1, 1] at 16 kHz.
        n_mels: mel bands, 80 for all Whisper sizes up to large-v2.

    Returns:
        (n_mels, S // 160) float32; the loudest value m maps to (m + 4) / 4, the quietest kept one to that minus 2.

    Raises:
        AudioError: fewer than 201 samples, too few to reflect at the edges.
    """
    peak, _ = measure_peak([waveform], n_mels)
    return torch.cat(list(normalised_mel([waveform], peak, n_mels)), dim=1)


def measure_peak(blocks: Iterable[torch.Tensor], n_mels: int = 80) -> tuple[float, int]:
    """The recording's loudest log10 mel power and its number of mel frames, from (n,) float32 blocks at 16 kHz."""
    peak, frames = -math.inf, 0
    for mel in _log10_mel(blocks, n_mels):
        peak = max(peak, float(mel.max()))
        frames += mel.shape[1]
    return peak, frames


def normalised_mel(blocks: Iterable[torch.Tensor], peak: float, n_mels: int = 80) -> Iterator[torch.Tensor]:
    """Yields the normalised spectrogram in pieces (n_mels, n) float32, n as the blocks happen to give."""
    for mel in _log10_mel(blocks, n_mels):
        yield (mel.clamp(min=peak - DYNAMIC_RANGE) + 4.0) / 4.0


@functools.cache
def mel_filters(n_mels: int) -> torch.Tensor:
    """Whisper's filters (n_mels, 201) float32 over 0 to 8 kHz."""
    return slaney_filters(n_mels, N_FFT, 0.0, SAMPLE_RATE / 2)


def slaney_filters(n_mels: int, window: int, min_hz: float, max_hz: float) -> torch.Tensor:
    """Slaney's triangular filters (n_mels, window // 2 + 1) float32 from `min_hz` to `max_hz` Hz, over the spectrum of
    `window` samples at 16 kHz; each has area 1 in Hz (up to rounding)."""
    corners = _mel_to_hz(np.linspace(_hz_to_mel(min_hz), _hz_to_mel(max_hz), n_mels + 2))  # Hz
    bins = np.linspace(0.0, SAMPLE_RATE / 2, window // 2 + 1)  # Hz
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (right - left)
    return torch.from_numpy(triangles.astype(np.float32))


def _log10_mel(blocks: Iterable[torch.Tensor], n_mels: int) -> Iterator[torch.Tensor]:
    """Yields log10 of the mel power (n_mels, n) of frames centred on samples 0, 160, 320 ..., mirrored at both ends.

    After every transform 240 to 399 samples are held for the next frame: enough, too, for the mirror at the end, which
    needs 201. The very last frame is dropped, as Whisper does.
    """
    half, filters, hann = N_FFT // 2, mel_filters(n_mels), torch.hann_window(N_FFT)
    buffered, opened = torch.zeros(0), False
    for block in blocks:
        buffered = torch.cat([buffered, block])
        if not opened and len(buffered) > half:
            buffered, opened = torch.cat([buffered[1 : half + 1].flip(0), buffered]), True
        if opened and len(buffered) >= N_FFT:
            mel, buffered = _transform(buffered, filters, hann)
            yield mel
    if not opened:
        raise AudioError(
            f"The sound has {len(buffered)} samples at 16 kHz, fewer than the {half + 1} that a spectrum needs: "
            "give a longer recording or append silence."
        )
    mel, _ = _transform(torch.cat([buffered, buffered[-half - 1 : -1].flip(0)]), filters, hann)
    if mel.shape[1] > 1:
        yield mel[:, :-1]


def _transform(samples: torch.Tensor, filters: torch.Tensor, hann: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The log10 mel power of every whole window in `samples`, and the samples that the next window begins with."""
    spectrum = torch.stft(samples, N_FFT, HOP_LENGTH, window=hann, center=False, return_complex=True)  # (201, n)
    mel = filters @ spectrum.abs().square()
    return mel.clamp(min=MIN_POWER).log10(), samples[spectrum.shape[1] * HOP_LENGTH :]


def _hz_to_mel(hz: float) -> float:
    if hz < KNEE_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return KNEE_HZ / LINEAR_HZ_PER_MEL + math.log(hz / KNEE_HZ) / LOG_STEP


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    knee = KNEE_HZ / LINEAR_HZ_PER_MEL
    return np.where(mels < knee, mels * LINEAR_HZ_PER_MEL, KNEE_HZ * np.exp(LOG_STEP * (np.maximum(mels, knee) - knee)))
